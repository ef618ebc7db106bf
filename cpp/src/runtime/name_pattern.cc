#include "ringkernel/runtime/name_pattern.h"

#include <cstdint>
#include <vector>

namespace rk {
namespace {

bool is_continuation(char byte) { return (static_cast<std::uint8_t>(byte) & 0xC0) == 0x80; }

// Bytes of the character that `text` begins with; 0: none that is valid. Table 3-7 of the Unicode standard: no overlong
// forms, no surrogates, nothing above U+10FFFF.
std::size_t character_bytes(std::string_view text) {
  const auto lead = static_cast<std::uint8_t>(text[0]);
  if (lead < 0x80) return 1;
  if (lead < 0xC2 || lead > 0xF4) return 0;
  const std::size_t bytes = lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
  if (text.size() < bytes) return 0;
  const auto second = static_cast<std::uint8_t>(text[1]);
  const std::uint8_t least = lead == 0xE0 ? 0xA0 : lead == 0xF0 ? 0x90 : 0x80;
  const std::uint8_t most = lead == 0xED ? 0x9F : lead == 0xF4 ? 0x8F : 0xBF;
  if (second < least || second > most) return 0;
  for (std::size_t i = 2; i < bytes; ++i) {
    if (!is_continuation(text[i])) return 0;
  }
  return bytes;
}

// One element of a pattern, and whether the name read so far matches the pattern up to and including it.
struct Step {
  enum class Kind : std::uint8_t { kByte, kCharacter, kWithinLevel, kAcross } kind;
  char byte;
  bool reached;
};

std::vector<Step> compile(std::string_view pattern) {
  std::vector<Step> steps;
  steps.reserve(pattern.size());
  for (std::size_t i = 0; i < pattern.size(); ++i) {
    Step step{Step::Kind::kByte, pattern[i], false};
    if (pattern[i] == '?') step.kind = Step::Kind::kCharacter;
    if (pattern[i] == '*') {
      const bool across = i + 1 < pattern.size() && pattern[i + 1] == '*';
      step.kind = across ? Step::Kind::kAcross : Step::Kind::kWithinLevel;
      i += across ? 1 : 0;
    }
    steps.push_back(step);
  }
  return steps;
}

// Is `step` done after `byte`, given that the one before it was done before (`came`) or is done after that byte
// (`come`), and that it was done itself before (`stayed`)?
bool advances(const Step& step, char byte, bool came, bool come, bool stayed) {
  switch (step.kind) {
    case Step::Kind::kByte:
      return came && byte == step.byte;
    case Step::Kind::kCharacter:  // its first byte, or a further one: no other step can follow in between
      return is_continuation(byte) ? stayed : came && byte != '/';
    case Step::Kind::kWithinLevel:
      return come || (stayed && byte != '/');
    case Step::Kind::kAcross:
      return come || stayed;
  }
  return false;
}

}  // namespace

std::string check_text(std::string_view what, std::string_view text) {
  const std::string name(what);
  if (text.empty()) return name + " is empty: need at least one character";
  if (text.size() > kMaxPatternBytes) {
    return name + " has " + std::to_string(text.size()) + " bytes in UTF-8: at most " +
           std::to_string(kMaxPatternBytes) + " are allowed";
  }
  for (std::size_t at = 0; at < text.size();) {
    const std::size_t bytes = character_bytes(text.substr(at));
    if (bytes == 0) return name + " is not valid UTF-8 at byte " + std::to_string(at);
    if (text[at] == '\0') return name + " has a NUL at byte " + std::to_string(at) + ": need text without NUL";
    at += bytes;
  }
  return "";
}

std::string check_name_pattern(std::string_view pattern) { return check_text("name pattern", pattern); }

bool name_matches(std::string_view pattern, std::string_view name) {
  const std::string_view prefix = fixed_prefix(pattern);
  if (name.substr(0, prefix.size()) != prefix) return false;
  pattern.remove_prefix(prefix.size());
  name.remove_prefix(prefix.size());
  if (pattern.empty()) return name.empty();

  // All ways through the pattern at once, so that no input makes it go back and try again.
  std::vector<Step> steps = compile(pattern);
  bool leading = true;  // nothing read yet: only stars can be done
  for (Step& step : steps) {
    leading = leading && (step.kind == Step::Kind::kWithinLevel || step.kind == Step::Kind::kAcross);
    step.reached = leading;
  }
  bool at_start = true;
  for (const char byte : name) {
    bool came = at_start, come = false;
    for (Step& step : steps) {
      const bool stayed = step.reached;
      step.reached = advances(step, byte, came, come, stayed);
      came = stayed;
      come = step.reached;
    }
    at_start = false;
  }
  return steps.back().reached;
}

}  // namespace rk
