// Hostile topics, patterns and names: the checks let through what they should, and the tries and the name matcher agree
// with the naive ones, whatever comes and goes.
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "../unit/naive_patterns.h"
#include "ringkernel/runtime/name_pattern.h"
#include "ringkernel/runtime/topic_trie.h"

namespace {

using Sorted = std::multiset<std::string>;

void require(bool condition) {
  if (!condition) std::abort();
}

void check_the_checks(std::string_view text) {
  const std::string topic = rk::check_topic(text), pattern = rk::check_pattern(text),
                    name = rk::check_name_pattern(text);
  require(topic.empty() == rk::naive_is_topic(text, false));
  require(pattern.empty() == rk::naive_is_topic(text, true));
  require(name.empty() == rk::naive_is_text(text));
  std::vector<std::uint32_t> points;
  for (const std::string& reason : {topic, pattern, name}) require(rk::decode(reason, &points));
}

class Tries {
 public:
  void change_pattern(const std::string& text, bool add) {
    if (add) {
      require(patterns_.add(text, text) == added_.insert(text).second);
    } else {
      require(patterns_.remove(text, text) == (added_.erase(text) == 1));
    }
    require(patterns_.size() == added_.size() && (patterns_.nodes() == 0) == added_.empty());
    Sorted found, expected;
    topics_.match_pattern(text, [&](const std::string& topic) { found.insert(topic); });
    for (const auto& topic : kept_) {
      if (rk::naive_topic_matches(text, topic)) expected.insert(topic);
    }
    require(found == expected);
  }

  void change_topic(const std::string& text, bool put) {
    if (put) {
      topics_.put(text, text);
      kept_.insert(text);
    } else {
      require(topics_.erase(text) == (kept_.erase(text) == 1));
    }
    require(topics_.size() == kept_.size() && (topics_.nodes() == 0) == kept_.empty());
    Sorted found, expected;
    patterns_.match(text, [&](const std::string& pattern) { found.insert(pattern); });
    for (const auto& pattern : added_) {
      if (rk::naive_topic_matches(pattern, text)) expected.insert(pattern);
    }
    require(found == expected);
  }

 private:
  rk::TopicTrie<std::string> patterns_;
  rk::RetainedTrie<std::string> topics_;
  std::set<std::string> added_, kept_;
};

// Lines; in an odd input every byte picks from what patterns are made of, so that they meet more often.
std::vector<std::string> lines_of(const std::uint8_t* data, std::size_t size) {
  static const char* const kParts[] = {"/", "*", "#", "a", "b", "é", "?", "\n"};
  std::vector<std::string> lines(1);
  const bool dense = size != 0 && data[0] % 2 == 1;
  for (std::size_t i = 1; i < size; ++i) {
    const std::string part = dense ? kParts[data[i] % 8] : std::string(1, static_cast<char>(data[i]));
    if (part == "\n") {
      lines.emplace_back();
    } else {
      lines.back() += part;
    }
  }
  return lines;
}

// Exactly as large as its text, so that reading one byte too many is seen.
class Exact {
 public:
  explicit Exact(const std::string& text) : bytes_(new char[text.size()]), size_(text.size()) {
    if (size_ != 0) std::memcpy(bytes_.get(), text.data(), size_);
  }
  std::string_view view() const { return {bytes_.get(), size_}; }

 private:
  std::unique_ptr<char[]> bytes_;
  std::size_t size_;
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  Tries tries;
  std::string previous;
  for (const std::string& line : lines_of(data, size)) {
    const Exact text(line), before(previous);
    check_the_checks(text.view());
    const bool matches = rk::name_matches(before.view(), text.view());
    if (rk::check_name_pattern(previous).empty() && (line.empty() || rk::check_name_pattern(line).empty())) {
      require(matches == rk::naive_name_matches(previous, line));
    }
    previous = line;
    if (line.empty()) continue;
    // The first byte says what to do with the rest, so that the same text can come and go.
    const std::string rest = line.substr(1);
    const bool come = line[0] != '*' && line[0] != '-';
    if (rk::check_pattern(rest).empty()) tries.change_pattern(rest, come);
    if (rk::check_topic(rest).empty()) tries.change_topic(rest, come);
  }
  return 0;
}
