// Topics and the patterns over them, level by level.
//
//   prices/*/close   '*' is exactly one level
//   prices/#         '#' is one or more trailing levels, and only last: "prices" itself does not match
//
// TopicTrie answers "who subscribed to this topic", RetainedTrie "which topics does this pattern mean". A match looks
// up each level of what it is given, once for every way that wildcards lead to it; how many other patterns or topics
// there are does not matter. It allocates nothing.
//
// Protection: the caller locks. Visitors must not change the trie. Texts have passed check_topic or check_pattern,
// which also bounds the depth of recursion; others do no harm but match as they please.
#pragma once

#include <algorithm>
#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace rk {

// "", or the reason why this is not a topic to publish to (a pattern to subscribe to).
std::string check_topic(std::string_view topic);
std::string check_pattern(std::string_view pattern);

// The first level of `rest`, which then begins behind it. Levels are not empty, so an empty rest is the end.
inline std::string_view take_level(std::string_view& rest) {
  const std::size_t slash = rest.find('/');
  const std::string_view level = rest.substr(0, slash);
  rest.remove_prefix(slash == std::string_view::npos ? rest.size() : slash + 1);
  return level;
}

namespace detail {

// The nodes of both tries. A node holds what was put at the path of levels that leads to it.
template <class T>
class LevelTrie {
 public:
  LevelTrie() = default;
  LevelTrie(const LevelTrie&) = delete;
  LevelTrie& operator=(const LevelTrie&) = delete;

  std::size_t size() const { return size_; }    // of everything held
  std::size_t nodes() const { return nodes_; }  // without the root; 0 when nothing is held

 protected:
  // Finds a std::string key by a std::string_view, without making a string of it.
  struct Hash : std::hash<std::string_view> {
    using is_transparent = void;
  };
  struct Node {
    std::unordered_map<std::string, std::unique_ptr<Node>, Hash, std::equal_to<>> children;
    std::unique_ptr<Node> any_level;  // '*'
    std::unique_ptr<Node> any_tail;   // '#'
    std::vector<T> held;

    const Node* child(std::string_view level) const {
      if (level == "*") return any_level.get();
      if (level == "#") return any_tail.get();
      const auto found = children.find(level);
      return found == children.end() ? nullptr : found->second.get();
    }
    Node* child(std::string_view level) { return const_cast<Node*>(std::as_const(*this).child(level)); }
    bool barren() const { return held.empty() && children.empty() && !any_level && !any_tail; }
  };

  Node* find(std::string_view path) {
    Node* node = &root_;
    while (node != nullptr && !path.empty()) node = node->child(take_level(path));
    return node;
  }

  // Puts `item` at `path` behind what is held there.
  void append(std::string_view path, T item) {
    try {
      Node* node = &root_;
      for (std::string_view rest = path; !rest.empty();) node = &make_child(*node, take_level(rest));
      node->held.push_back(std::move(item));
    } catch (...) {
      prune(path);
      throw;
    }
    ++size_;
  }

  void erase_held(std::string_view path, Node& node, typename std::vector<T>::iterator which) {
    node.held.erase(which);
    --size_;
    prune(path);
  }

  template <class Visit>
  static void visit_held(const Node& node, Visit& visit) {
    for (const T& item : node.held) visit(item);
  }

  Node root_;

 private:
  Node& make_child(Node& node, std::string_view level) {
    if (Node* child = node.child(level)) return *child;
    auto made = std::make_unique<Node>();
    Node& child = *made;
    if (level == "*") {
      node.any_level = std::move(made);
    } else if (level == "#") {
      node.any_tail = std::move(made);
    } else {
      node.children.emplace(level, std::move(made));
    }
    ++nodes_;
    return child;
  }

  // Takes away the nodes along `path` that lead to nothing.
  void prune(std::string_view path) { prune_below(root_, path); }

  void prune_below(Node& node, std::string_view rest) {
    if (rest.empty()) return;
    const std::string_view level = take_level(rest);
    Node* child = node.child(level);
    if (child == nullptr) return;
    prune_below(*child, rest);
    if (!child->barren()) return;
    if (level == "*") {
      node.any_level.reset();
    } else if (level == "#") {
      node.any_tail.reset();
    } else {
      node.children.erase(node.children.find(level));
    }
    --nodes_;
  }

  std::size_t size_ = 0;
  std::size_t nodes_ = 0;
};

}  // namespace detail

// Patterns, each with what was added under it.
template <class T>
class TopicTrie : public detail::LevelTrie<T> {
  using Base = detail::LevelTrie<T>;
  using Node = typename Base::Node;

 public:
  // False: `item` is there under this pattern already.
  bool add(std::string_view pattern, T item) {
    const Node* node = this->find(pattern);
    if (node != nullptr && std::find(node->held.begin(), node->held.end(), item) != node->held.end()) return false;
    this->append(pattern, std::move(item));
    return true;
  }

  // False: it was not there.
  bool remove(std::string_view pattern, const T& item) {
    Node* node = this->find(pattern);
    if (node == nullptr) return false;
    const auto found = std::find(node->held.begin(), node->held.end(), item);
    if (found == node->held.end()) return false;
    this->erase_held(pattern, *node, found);
    return true;
  }

  // visit(const T&) for each item, once for each pattern that it was added under and that matches; those of one pattern
  // in the order in which they were added.
  template <class Visit>
  void match(std::string_view topic, Visit&& visit) const {
    match_below(this->root_, topic, visit);
  }

 private:
  template <class Visit>
  static void match_below(const Node& node, std::string_view rest, Visit& visit) {
    if (rest.empty()) return Base::visit_held(node, visit);
    const std::string_view level = take_level(rest);
    if (node.any_tail) Base::visit_held(*node.any_tail, visit);
    if (node.any_level) match_below(*node.any_level, rest, visit);
    const auto same = node.children.find(level);
    if (same != node.children.end()) match_below(*same->second, rest, visit);
  }
};

// Topics, each with the one thing that is kept for it.
template <class T>
class RetainedTrie : public detail::LevelTrie<T> {
  using Base = detail::LevelTrie<T>;
  using Node = typename Base::Node;

 public:
  // Replaces what is kept for this topic.
  void put(std::string_view topic, T item) {
    if (T* kept = get(topic)) {
      *kept = std::move(item);
    } else {
      this->append(topic, std::move(item));
    }
  }

  // nullptr: nothing. Valid until the topic is erased.
  T* get(std::string_view topic) {
    Node* node = this->find(topic);
    return node == nullptr || node->held.empty() ? nullptr : node->held.data();
  }

  // False: nothing was kept.
  bool erase(std::string_view topic) {
    Node* node = this->find(topic);
    if (node == nullptr || node->held.empty()) return false;
    this->erase_held(topic, *node, node->held.begin());
    return true;
  }

  // visit(const T&) for each topic that matches, once, in no order; "#" is all of them.
  template <class Visit>
  void match_pattern(std::string_view pattern, Visit&& visit) const {
    match_below(this->root_, pattern, visit);
  }

 private:
  template <class Visit>
  static void match_below(const Node& node, std::string_view rest, Visit& visit) {
    if (rest.empty()) return Base::visit_held(node, visit);
    const std::string_view level = take_level(rest);
    if (level == "#") return visit_below(node, visit);
    if (level == "*") {
      for (const auto& [name, child] : node.children) match_below(*child, rest, visit);
    } else if (const Node* child = node.child(level)) {
      match_below(*child, rest, visit);
    }
  }

  template <class Visit>
  static void visit_below(const Node& node, Visit& visit) {
    for (const auto& [name, child] : node.children) {
      Base::visit_held(*child, visit);
      visit_below(*child, visit);
    }
  }
};

}  // namespace rk
