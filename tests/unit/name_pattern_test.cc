#include <gtest/gtest.h>

#include <random>
#include <string>
#include <vector>

#include "naive_patterns.h"
#include "ringkernel/runtime/name_pattern.h"

namespace rk {
namespace {

struct Case {
  const char* pattern;
  const char* name;
  bool matches;
};

void expect_all(const std::vector<Case>& cases) {
  for (const auto& [pattern, name, expected] : cases) {
    EXPECT_EQ(name_matches(pattern, name), expected) << "'" << pattern << "' and '" << name << "'";
    EXPECT_EQ(naive_name_matches(pattern, name), expected) << "naive: '" << pattern << "' and '" << name << "'";
  }
}

TEST(NamePattern, text_stands_for_itself) {
  expect_all({{"echo", "echo", true},
              {"echo", "echo1", false},
              {"echo", "ech", false},
              {"a.b", "axb", false},
              {"[a]", "a", false},
              {"[a]", "[a]", true},
              {"a\\*", "a*", false},  // no escape
              {"a\\*", "a\\b", true},
              {"A", "a", false},
              {"a/b", "a/b", true},
              {"a", "", false}});
}

TEST(NamePattern, one_star_stays_within_its_level) {
  expect_all({{"*", "echo", true},
              {"*", "", true},
              {"*", "a/b", false},
              {"*", "/", false},
              {"a/*", "a/b", true},
              {"a/*", "a/", true},
              {"a/*", "a", false},
              {"a/*", "a/b/c", false},
              {"*/c", "a/b/c", false},
              {"*/*/c", "a/b/c", true},
              {"a*c", "abbbc", true},
              {"a*c", "ac", true},
              {"a*c", "ab/c", false},
              {"*a*b*", "xxaxxbxx", true},
              {"*a*b*", "xxbxxaxx", false},
              {"*ab", "aab", true},
              {"*aab", "aaab", true},
              {"worker-*", "worker-12", true}});
}

TEST(NamePattern, two_stars_go_across_levels) {
  expect_all({{"**", "", true},
              {"**", "a/b/c", true},
              {"a/**", "a/b/c", true},
              {"a/**", "a/", true},
              {"a/**", "a", false},
              {"**/c", "a/b/c", true},
              {"**/c", "c", false},
              {"a**c", "ab/bc", true},
              {"a**c", "ac", true},
              {"**x*y", "x/x/xy", true},
              {"**x*y", "x/y", false},
              {"**a*b/c**d", "a/ab/c/cd", true},
              {"***", "a/b", true},
              {"****", "a/b", true},
              {"*/**", "a", false},
              {"**/*", "a/b/c", true}});
}

TEST(NamePattern, a_question_mark_is_one_character_of_any_length_in_bytes) {
  expect_all({{"?", "a", true},      {"?", "", false},          {"?", "ab", false},    {"?", "/", false},
              {"?", "é", true},      {"??", "é", false},        {"?", "日", true},     {"?", "🎉", true},
              {"????", "🎉", false}, {"????", "日本🎉é", true}, {"a?c", "a🎉c", true}, {"*?", "é", true},
              {"?*", "é", true},     {"*??", "é", false},       {"?é", "éé", true},    {"**?", "a/", false},
              {"**?", "a/é", true},  {"é*", "é", true},         {"é*", "è", false},  // the same first byte
              {"*é", "xè", false},   {"?*é", "é", false}});
}

TEST(NamePattern, patterns_that_would_make_a_backtracker_despair_end) {
  std::string within, across, name(1000, 'a');
  for (int i = 0; i < 300; ++i) within += "*a";
  for (int i = 0; i < 300; ++i) across += "**a";
  EXPECT_FALSE(name_matches(within + "b", name));
  EXPECT_TRUE(name_matches(within + "*", name));
  EXPECT_FALSE(name_matches(across + "b", name));
  EXPECT_TRUE(name_matches(across, name));
  EXPECT_FALSE(name_matches(std::string(1023, '*') + "b", name));
  EXPECT_TRUE(name_matches(std::string(1000, '?'), name));
  EXPECT_FALSE(name_matches(std::string(999, '?'), name));
}

TEST(NamePattern, agrees_with_the_naive_matcher) {
  const std::uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  std::mt19937 engine(seed);
  const auto below = [&](std::uint32_t limit) { return static_cast<std::uint32_t>(engine() % limit); };
  const auto text = [&](const std::vector<const char*>& parts, std::uint32_t longest) {
    std::string made;
    for (std::uint32_t i = below(longest + 1); i > 0; --i)
      made += parts[below(static_cast<std::uint32_t>(parts.size()))];
    return made;
  };
  int matched = 0;
  for (int round = 0; round < 50'000; ++round) {
    const std::string pattern = text({"a", "é", "/", "*", "**", "?", "è"}, 8);
    const std::string name = text({"a", "é", "/", "è", "a"}, 8);
    const bool expected = naive_name_matches(pattern, name);
    ASSERT_EQ(name_matches(pattern, name), expected) << "'" << pattern << "' and '" << name << "'";
    matched += expected ? 1 : 0;
  }
  EXPECT_GT(matched, 500) << "the comparison must have seen both answers";
}

TEST(NamePattern, bytes_that_are_not_text_do_no_harm) {
  for (const char* pattern : {"?\xBF", "\xFF*", "**\xC3", "?"}) {
    for (const char* name : {"", "\x80", "\xC3", "\xFF\xFE", "a\xED\xA0\x80"}) name_matches(pattern, name);
  }
  EXPECT_TRUE(name_matches("\xFF*", "\xFFx"));
}

TEST(NamePattern, malformed_patterns_are_refused_with_a_reason) {
  using namespace std::string_literals;
  for (const char* pattern : {"*", "**", "a/?", "***", "a//b", "/", "é*", "#"}) {
    EXPECT_EQ(check_name_pattern(pattern), "") << pattern;
  }
  EXPECT_EQ(check_name_pattern(std::string(1024, 'x')), "");
  EXPECT_EQ(check_name_pattern(""), "name pattern is empty: need at least one character");
  EXPECT_EQ(check_name_pattern(std::string(1025, 'x')),
            "name pattern has 1025 bytes in UTF-8: at most 1024 are allowed");
  EXPECT_EQ(check_name_pattern("a\0"s), "name pattern has a NUL at byte 1: need text without NUL");
  EXPECT_EQ(check_name_pattern("é\xC3"), "name pattern is not valid UTF-8 at byte 2");
}

TEST(NamePattern, the_fixed_prefix_ends_at_the_first_wildcard) {
  EXPECT_EQ(fixed_prefix("a/b*c"), "a/b");
  EXPECT_EQ(fixed_prefix("a?"), "a");
  EXPECT_EQ(fixed_prefix("**"), "");
  EXPECT_EQ(fixed_prefix("abc"), "abc");
  EXPECT_EQ(fixed_prefix(""), "");
}

}  // namespace
}  // namespace rk
