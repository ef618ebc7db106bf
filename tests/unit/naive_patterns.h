// What topics and name patterns mean, said as plainly as can be: the code under test must agree with this.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace rk {

inline std::vector<std::string> levels_of(std::string_view text) {
  std::vector<std::string> levels(1);
  for (const char c : text) {
    if (c == '/') {
      levels.emplace_back();
    } else {
      levels.back() += c;
    }
  }
  return levels;
}

inline bool naive_topic_matches(std::string_view pattern, std::string_view topic) {
  const std::vector<std::string> want = levels_of(pattern), have = levels_of(topic);
  for (std::size_t i = 0; i < want.size(); ++i) {
    if (want[i] == "#") return have.size() > i;
    if (i >= have.size() || (want[i] != "*" && want[i] != have[i])) return false;
  }
  return want.size() == have.size();
}

// Code points; false: the text is not UTF-8.
inline bool decode(std::string_view text, std::vector<std::uint32_t>* points) {
  static constexpr std::uint32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};
  for (std::size_t i = 0; i < text.size();) {
    const auto lead = static_cast<std::uint8_t>(text[i]);
    const std::size_t bytes = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
    if (bytes == 0 || i + bytes > text.size()) return false;
    std::uint32_t point = bytes == 1 ? lead : lead & (0x7Fu >> bytes);
    for (std::size_t k = 1; k < bytes; ++k) {
      const auto next = static_cast<std::uint8_t>(text[i + k]);
      if (next >> 6 != 2) return false;
      point = point << 6 | (next & 0x3F);
    }
    if (bytes > 1 && point < kLeast[bytes]) return false;
    if (point > 0x10FFFF || (point >= 0xD800 && point < 0xE000)) return false;
    points->push_back(point);
    i += bytes;
  }
  return true;
}

inline bool naive_is_text(std::string_view text) {
  std::vector<std::uint32_t> points;
  return !text.empty() && text.size() <= 1024 && text.find('\0') == std::string_view::npos && decode(text, &points);
}

inline bool naive_is_topic(std::string_view text, bool wildcards) {
  if (!naive_is_text(text)) return false;
  const std::vector<std::string> levels = levels_of(text);
  for (std::size_t i = 0; i < levels.size(); ++i) {
    if (levels[i].empty()) return false;
    if (wildcards && (levels[i] == "*" || (levels[i] == "#" && i + 1 == levels.size()))) continue;
    if (levels[i].find('*') != std::string::npos || levels[i].find('#') != std::string::npos) return false;
  }
  return true;
}

// Tries every way, from the end to the front, remembering what it found: matches[i][j] is pattern[i..] against
// name[j..].
inline bool naive_name_matches(std::string_view pattern, std::string_view name) {
  std::vector<std::uint32_t> p, n;
  if (!decode(pattern, &p) || !decode(name, &n)) return false;
  std::vector<std::vector<bool>> matches(p.size() + 2, std::vector<bool>(n.size() + 1, false));
  matches[p.size()][n.size()] = true;
  for (std::size_t i = p.size(); i-- > 0;) {
    const bool across = p[i] == '*' && i + 1 < p.size() && p[i + 1] == '*';
    for (std::size_t j = n.size() + 1; j-- > 0;) {
      const bool some = j < n.size();
      if (p[i] == '*') {
        matches[i][j] = matches[i + (across ? 2 : 1)][j] || (some && (across || n[j] != '/') && matches[i][j + 1]);
      } else {
        matches[i][j] = some && (p[i] == '?' ? n[j] != '/' : p[i] == n[j]) && matches[i + 1][j + 1];
      }
    }
  }
  return matches[0][0];
}

}  // namespace rk
