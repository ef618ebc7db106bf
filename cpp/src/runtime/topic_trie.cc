#include "ringkernel/runtime/topic_trie.h"

#include "ringkernel/runtime/name_pattern.h"

namespace rk {
namespace {

std::string quoted(std::string_view what, std::string_view text) {
  return std::string(what) + " '" + std::string(text) + "'";
}

// "", or what is wrong with the levels that `rest` consists of.
std::string check_levels(std::string_view what, std::string_view text, bool wildcards) {
  std::string_view rest = text;
  for (int number = 1;; ++number) {
    const bool last = rest.find('/') == std::string_view::npos;
    const std::string_view level = take_level(rest);
    const std::string where = ": level " + std::to_string(number);
    if (level.empty()) {
      return quoted(what, text) + where + " is empty: need text before, between and after the slashes";
    }
    const bool has_wildcard = level.find_first_of("*#") != std::string_view::npos;
    if (has_wildcard && !wildcards) {
      return quoted(what, text) + where + " has a wildcard ('*' or '#'): need plain text, wildcards are for patterns";
    }
    if (has_wildcard && level.size() != 1) {
      return quoted(what, text) + where + " is '" + std::string(level) +
             "': a wildcard ('*' or '#') needs a level of " + "its own";
    }
    if (level == "#" && !last) return quoted(what, text) + where + " is '#', which needs to be the last level";
    if (last) return "";
  }
}

std::string check(std::string_view what, std::string_view text, bool wildcards) {
  const std::string problem = check_text(what, text);
  return problem.empty() ? check_levels(what, text, wildcards) : problem;
}

}  // namespace

std::string check_topic(std::string_view topic) { return check("topic", topic, false); }

std::string check_pattern(std::string_view pattern) { return check("topic pattern", pattern, true); }

}  // namespace rk
