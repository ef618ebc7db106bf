// Patterns over kernel names, as in lookup("billing/*") and watch("**").
//
//   *   any characters of one level, none included: it stops at '/'
//   **  any characters, '/' included
//   ?   one character (not one byte) that is not '/'
//
// Everything else stands for itself; there is no escape.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace rk {

// Longest topic and longest pattern, in bytes: they travel in messages and are matched level by level.
inline constexpr std::size_t kMaxPatternBytes = 1024;

// "", or why `text` can be neither a topic nor a pattern: it must be 1 to kMaxPatternBytes of UTF-8 without NUL.
// `what` is what to call it. The reason never quotes bytes that are not valid UTF-8.
std::string check_text(std::string_view what, std::string_view text);

// "", or the reason why this is not a pattern.
std::string check_name_pattern(std::string_view pattern);

// Both are valid UTF-8; other bytes do no harm and match as they please. Time: at most pattern * name, and no more than
// one comparison when they differ before the first wildcard.
bool name_matches(std::string_view pattern, std::string_view name);

// What every name that matches begins with: the pattern up to its first wildcard.
inline std::string_view fixed_prefix(std::string_view pattern) {
  return pattern.substr(0, pattern.find_first_of("*?"));
}

}  // namespace rk
