// Topics and patterns: what is well-formed, what matches what, and that nothing stays behind.
#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <memory>
#include <random>
#include <set>
#include <string>
#include <vector>

#include "naive_patterns.h"
#include "ringkernel/runtime/topic_trie.h"

namespace rk {
namespace {

using Names = std::vector<std::string>;

Names matches(const TopicTrie<std::string>& trie, const std::string& topic) {
  Names found;
  trie.match(topic, [&](const std::string& item) { found.push_back(item); });
  std::sort(found.begin(), found.end());
  return found;
}

Names retained(const RetainedTrie<std::string>& trie, const std::string& pattern) {
  Names found;
  trie.match_pattern(pattern, [&](const std::string& item) { found.push_back(item); });
  std::sort(found.begin(), found.end());
  return found;
}

// Each pattern under its own name.
void add_all(TopicTrie<std::string>& trie, const Names& patterns) {
  for (const std::string& pattern : patterns) EXPECT_TRUE(trie.add(pattern, pattern));
}

TEST(TopicRules, well_formed_topics_and_patterns_pass) {
  for (const char* text :
       {"a", "a/b", "prices/EURUSD/close", "ключ/日本/🎉", " ", "a b/c\td", "+", "$sys/x", "a/./.."}) {
    EXPECT_EQ(check_topic(text), "") << text;
    EXPECT_EQ(check_pattern(text), "") << text;
  }
  for (const char* text : {"*", "#", "*/*", "a/*/b", "a/#", "*/#"}) EXPECT_EQ(check_pattern(text), "") << text;
  EXPECT_EQ(check_topic(std::string(1024, 'x')), "");
  EXPECT_EQ(check_pattern(std::string(1022, 'x') + "/#"), "");
}

TEST(TopicRules, what_is_malformed_in_both_is_refused_in_both) {
  using namespace std::string_literals;
  const Names malformed = {"", "/", "//", "/a", "a/", "a//b", "a*", "*a", "**", "##", "*#", "a/b#", "a/#b/c",
                           std::string(1025, 'x'), "a\0b"s, "\0"s,
                           // Not UTF-8: lone and missing continuations, overlong, a surrogate, above U+10FFFF, cut off.
                           "\x80", "a/\xC3", "a\xC3/b", "\xC0\xAF", "\xE0\x80\xAF", "\xF0\x80\x80\xAF", "\xED\xA0\x80",
                           "\xF4\x90\x80\x80", "\xF8\x88\x80\x80\x80", "\xFF", "\xE2\x82", "\xF0\x9F\x8E"};
  for (const std::string& text : malformed) {
    EXPECT_NE(check_topic(text), "") << text;
    EXPECT_NE(check_pattern(text), "") << text;
  }
  // The bytes on both sides of each boundary of the encoding.
  for (const char* text :
       {"\x7F", "\xC2\x80", "\xE0\xA0\x80", "\xED\x9F\xBF", "\xEE\x80\x80", "\xF0\x90\x80\x80", "\xF4\x8F\xBF\xBF"}) {
    EXPECT_EQ(check_topic(text), "") << text;
  }
}

TEST(TopicRules, wildcards_are_for_patterns_and_a_tail_is_last) {
  for (const char* text : {"*", "#", "a/*", "a/#", "*/a"}) EXPECT_NE(check_topic(text), "") << text;
  for (const char* text : {"#/a", "a/#/b", "#/#", "#/*"}) EXPECT_NE(check_pattern(text), "") << text;
}

TEST(TopicRules, the_reason_says_what_was_found_and_where) {
  EXPECT_EQ(check_pattern("x/a*/b"),
            "topic pattern 'x/a*/b': level 2 is 'a*': a wildcard ('*' or '#') needs a level of its own");
  EXPECT_EQ(check_pattern("x/#/b"), "topic pattern 'x/#/b': level 2 is '#', which needs to be the last level");
  EXPECT_NE(check_topic("a/b/").find("level 3 is empty"), std::string::npos);
  EXPECT_NE(check_topic(std::string(1025, 'x')).find("1025 bytes"), std::string::npos);
  EXPECT_NE(check_topic("ab\xFF").find("byte 2"), std::string::npos);
}

TEST(TopicRules, a_reason_is_itself_valid_text) {
  for (const char* text : {"\xFF", "a/\xED\xA0\x80/*", "é/*/\xC3"}) {
    std::vector<std::uint32_t> points;
    EXPECT_TRUE(decode(check_topic(text), &points));
  }
}

TEST(TopicTrie, a_star_is_exactly_one_level) {
  TopicTrie<std::string> trie;
  add_all(trie, {"prices/*/close", "prices/*", "*", "*/*"});
  EXPECT_EQ(matches(trie, "prices/eur/close"), Names({"prices/*/close"}));
  EXPECT_EQ(matches(trie, "prices/eur"), Names({"*/*", "prices/*"}));
  EXPECT_EQ(matches(trie, "prices"), Names({"*"}));
  EXPECT_EQ(matches(trie, "prices/eur/x/close"), Names());
  EXPECT_EQ(matches(trie, "prices/close"), Names({"*/*", "prices/*"}));
}

TEST(TopicTrie, a_tail_is_one_level_or_more) {
  TopicTrie<std::string> trie;
  add_all(trie, {"#", "a/#", "a/*/#", "*/#"});
  EXPECT_EQ(matches(trie, "a"), Names({"#"})) << "a/# is not a";
  EXPECT_EQ(matches(trie, "a/b"), Names({"#", "*/#", "a/#"}));
  EXPECT_EQ(matches(trie, "a/b/c/d"), Names({"#", "*/#", "a/#", "a/*/#"}));
  EXPECT_EQ(matches(trie, "b/a"), Names({"#", "*/#"}));
}

TEST(TopicTrie, each_item_is_visited_once_for_its_pattern) {
  TopicTrie<std::string> trie;
  EXPECT_TRUE(trie.add("a/*", "x"));
  EXPECT_FALSE(trie.add("a/*", "x")) << "a set, not a bag";
  EXPECT_TRUE(trie.add("a/*", "y"));
  EXPECT_TRUE(trie.add("a/#", "x"));
  EXPECT_EQ(trie.size(), 3u);
  EXPECT_EQ(matches(trie, "a/b"), Names({"x", "x", "y"})) << "x came under two patterns";
  EXPECT_TRUE(trie.remove("a/*", "x"));
  EXPECT_EQ(matches(trie, "a/b"), Names({"x", "y"}));
}

TEST(TopicTrie, those_of_one_pattern_keep_their_order) {
  TopicTrie<int> trie;
  for (int i = 0; i < 5; ++i) trie.add("a", i);
  trie.remove("a", 2);
  trie.add("a", 2);
  std::vector<int> order;
  trie.match("a", [&](int item) { order.push_back(item); });
  EXPECT_EQ(order, std::vector<int>({0, 1, 3, 4, 2}));
}

TEST(TopicTrie, what_is_not_there_cannot_be_removed) {
  TopicTrie<std::string> trie;
  EXPECT_FALSE(trie.remove("a/b", "x"));
  trie.add("a/b/c", "x");
  for (const char* pattern : {"a", "a/b", "a/b/c/d", "a/*/c", "a/b/#", "#"}) {
    EXPECT_FALSE(trie.remove(pattern, "x")) << pattern;
  }
  EXPECT_FALSE(trie.remove("a/b/c", "y"));
  EXPECT_EQ(trie.nodes(), 3u) << "a failed removal takes nothing";
  EXPECT_TRUE(trie.remove("a/b/c", "x"));
  EXPECT_FALSE(trie.remove("a/b/c", "x"));
}

TEST(TopicTrie, removing_takes_the_nodes_that_lead_to_nothing_and_no_others) {
  TopicTrie<std::string> trie;
  add_all(trie, {"a/b", "a/b/c/*/#", "a/x", "*"});
  EXPECT_EQ(trie.nodes(), 7u);  // a, a/b, a/b/c, a/b/c/*, a/b/c/*/#, a/x, *
  EXPECT_TRUE(trie.remove("a/b/c/*/#", "a/b/c/*/#"));
  EXPECT_EQ(trie.nodes(), 4u);
  EXPECT_EQ(matches(trie, "a/b"), Names({"a/b"}));
  EXPECT_TRUE(trie.remove("a/b", "a/b"));
  EXPECT_TRUE(trie.remove("*", "*"));
  EXPECT_EQ(matches(trie, "a/x"), Names({"a/x"}));
  EXPECT_TRUE(trie.remove("a/x", "a/x"));
  EXPECT_EQ(trie.nodes(), 0u);
  EXPECT_EQ(trie.size(), 0u);
}

TEST(TopicTrie, what_it_held_is_let_go) {
  TopicTrie<std::shared_ptr<int>> trie;
  const auto item = std::make_shared<int>(1);
  trie.add("a/*", item);
  EXPECT_EQ(item.use_count(), 2);
  trie.match("a/b", [](const std::shared_ptr<int>&) {});
  EXPECT_EQ(item.use_count(), 2);
  trie.remove("a/*", item);
  EXPECT_EQ(item.use_count(), 1);
}

struct Refuses {
  explicit Refuses(bool refuse) : refuse(refuse) {}
  Refuses(const Refuses& other) = default;
  Refuses(Refuses&& other) : refuse(other.refuse) {
    if (refuse && --moves_left < 0) throw std::bad_alloc();
  }
  Refuses& operator=(const Refuses&) = default;
  bool operator==(const Refuses&) const = default;
  bool refuse;
  static inline int moves_left = 0;
};

TEST(TopicTrie, an_item_that_could_not_be_added_leaves_no_nodes) {
  for (int moves = 0; moves < 2; ++moves) {
    TopicTrie<Refuses> trie;
    trie.add("a", Refuses(false));
    Refuses::moves_left = moves;
    const Refuses item(true);
    EXPECT_THROW(trie.add("a/b/c", item), std::bad_alloc);
    EXPECT_EQ(trie.nodes(), 1u);
    EXPECT_EQ(trie.size(), 1u);
  }
}

TEST(TopicTrie, the_deepest_topic_is_matched_and_removed) {
  std::string topic = "a", stars = "*";
  for (int i = 1; i < 512; ++i) topic += "/a", stars += "/*";
  ASSERT_EQ(check_topic(topic), "");
  TopicTrie<std::string> trie;
  add_all(trie, {topic, stars, "#", stars.substr(2) + "/#"});
  EXPECT_EQ(matches(trie, topic).size(), 4u);
  EXPECT_EQ(matches(trie, topic.substr(2)), Names({"#"}));
  for (const std::string& pattern : matches(trie, topic)) EXPECT_TRUE(trie.remove(pattern, pattern));
  EXPECT_EQ(trie.nodes(), 0u);
}

TEST(TopicTrie, levels_are_compared_whole) {
  TopicTrie<std::string> trie;
  add_all(trie, {"ab/c", "a/bc", "abc"});
  EXPECT_EQ(matches(trie, "ab/c"), Names({"ab/c"}));
  EXPECT_EQ(matches(trie, "a/bc"), Names({"a/bc"}));
  EXPECT_EQ(matches(trie, "ab"), Names());
  EXPECT_EQ(matches(trie, "a"), Names());
}

TEST(TopicTrie, texts_that_were_not_checked_do_no_harm) {
  TopicTrie<std::string> trie;
  for (const char* text : {"", "/", "//", "a//b", "#/a", "a/", "\xFF"}) {
    trie.add(text, text);
    matches(trie, text);
    EXPECT_TRUE(trie.remove(text, text)) << text;
  }
  EXPECT_EQ(trie.nodes(), 0u);
}

TEST(RetainedTrie, one_thing_is_kept_for_a_topic) {
  RetainedTrie<std::string> trie;
  trie.put("a/b", "old");
  trie.put("a/b", "new");
  trie.put("a", "above");
  EXPECT_EQ(trie.size(), 2u);
  EXPECT_EQ(*trie.get("a/b"), "new");
  EXPECT_EQ(trie.get("a/c"), nullptr);
  EXPECT_EQ(trie.get("a/b/c"), nullptr);
  EXPECT_TRUE(trie.erase("a"));
  EXPECT_FALSE(trie.erase("a")) << "the node is there still, and empty";
  EXPECT_EQ(trie.get("a"), nullptr);
  EXPECT_EQ(*trie.get("a/b"), "new");
  EXPECT_TRUE(trie.erase("a/b"));
  EXPECT_EQ(trie.nodes(), 0u);
}

TEST(RetainedTrie, a_pattern_finds_the_topics_that_it_means) {
  RetainedTrie<std::string> trie;
  for (const char* topic : {"a", "a/b", "a/b/c", "a/x/c", "b", "b/b"}) trie.put(topic, topic);
  EXPECT_EQ(retained(trie, "#"), Names({"a", "a/b", "a/b/c", "a/x/c", "b", "b/b"}));
  EXPECT_EQ(retained(trie, "a/#"), Names({"a/b", "a/b/c", "a/x/c"}));
  EXPECT_EQ(retained(trie, "*"), Names({"a", "b"}));
  EXPECT_EQ(retained(trie, "*/b"), Names({"a/b", "b/b"}));
  EXPECT_EQ(retained(trie, "a/*/c"), Names({"a/b/c", "a/x/c"}));
  EXPECT_EQ(retained(trie, "*/#"), Names({"a/b", "a/b/c", "a/x/c", "b/b"}));
  EXPECT_EQ(retained(trie, "a/b"), Names({"a/b"}));
  EXPECT_EQ(retained(trie, "a/b/c/d"), Names());
  EXPECT_EQ(retained(trie, "c/#"), Names());
}

// Few levels and few names, so that patterns meet topics and each other.
class Random {
 public:
  explicit Random(std::uint32_t seed) : engine_(seed) {}
  std::uint32_t below(std::uint32_t limit) {
    return std::uniform_int_distribution<std::uint32_t>(0, limit - 1)(engine_);
  }
  std::string topic() {
    std::string made = name();
    for (std::uint32_t more = below(4); more > 0; --more) made.append("/").append(name());
    return made;
  }
  std::string pattern() {
    std::string made = below(3) == 0 ? "*" : name();
    for (std::uint32_t more = below(4); more > 0; --more) made.append("/").append(below(3) == 0 ? "*" : name());
    const std::uint32_t tail = below(8);
    return tail == 0 ? "#" : tail < 3 ? made + "/#" : made;
  }

 private:
  std::string name() {
    static const char* const kNames[] = {"a", "b", "aa", "é", "$"};
    return kNames[below(5)];
  }
  std::mt19937 engine_;
};

TEST(TopicTrie, agrees_with_the_naive_matcher_while_patterns_come_and_go) {
  const std::uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  TopicTrie<std::string> trie;
  std::set<std::pair<std::string, std::string>> added;  // pattern, item
  for (int round = 0; round < 2000; ++round) {
    const std::string pattern = random.pattern(), item = pattern + " " + std::to_string(random.below(3));
    ASSERT_EQ(check_pattern(pattern), "");
    // Grows at first, shrinks later.
    if (random.below(2000) > static_cast<std::uint32_t>(round)) {
      ASSERT_EQ(trie.add(pattern, item), added.emplace(pattern, item).second);
    } else {
      ASSERT_EQ(trie.remove(pattern, item), added.erase({pattern, item}) == 1);
    }
    ASSERT_EQ(trie.size(), added.size());
    const std::string topic = random.topic();
    Names expected;
    for (const auto& [under, what] : added) {
      if (naive_topic_matches(under, topic)) expected.push_back(what);
    }
    std::sort(expected.begin(), expected.end());
    ASSERT_EQ(matches(trie, topic), expected) << topic;
  }
  for (const auto& [pattern, item] : added) ASSERT_TRUE(trie.remove(pattern, item));
  EXPECT_EQ(trie.nodes(), 0u);
}

TEST(RetainedTrie, agrees_with_the_naive_matcher_while_topics_come_and_go) {
  const std::uint32_t seed = std::random_device{}();
  SCOPED_TRACE("seed " + std::to_string(seed));
  Random random(seed);
  RetainedTrie<std::string> trie;
  std::map<std::string, std::string> kept;
  for (int round = 0; round < 2000; ++round) {
    const std::string topic = random.topic(), item = topic + " " + std::to_string(round);
    if (random.below(2000) > static_cast<std::uint32_t>(round)) {
      trie.put(topic, item);
      kept[topic] = item;
    } else {
      ASSERT_EQ(trie.erase(topic), kept.erase(topic) == 1);
    }
    ASSERT_EQ(trie.size(), kept.size());
    const std::string pattern = random.pattern();
    Names expected;
    for (const auto& [under, what] : kept) {
      if (naive_topic_matches(pattern, under)) expected.push_back(what);
    }
    std::sort(expected.begin(), expected.end());
    ASSERT_EQ(retained(trie, pattern), expected) << pattern;
  }
  for (const auto& [topic, item] : kept) ASSERT_TRUE(trie.erase(topic));
  EXPECT_EQ(trie.nodes(), 0u);
}

}  // namespace
}  // namespace rk
