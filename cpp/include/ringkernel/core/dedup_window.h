// The last so many different ids, to recognise a message that comes twice.
//
// A ring of ids in the order of their coming, and an open-addressing table of places in that ring, at most half full.
// Forgetting the oldest shifts its cluster back (Knuth, TAOCP 3, 6.4, algorithm R), so there are no tombstones and a
// window that has run for a year is as fast as a new one. Nothing is allocated after construction: 12 to 24 bytes an
// id.
//
// Protection: single thread.
#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace rk {

class DedupWindow {
 public:
  // With a capacity of 0 nothing was ever seen.
  explicit DedupWindow(std::uint32_t capacity)
      : ids_(capacity), table_(std::bit_ceil(std::max<std::size_t>(2 * std::size_t{capacity}, 2)), kFree) {}

  // True: `id` is among the last `capacity` ids that were new. Else it is one now, and the oldest is forgotten.
  bool seen_before(std::uint64_t id) {
    if (ids_.empty()) return false;
    std::size_t cell = cell_of(id);
    if (table_[cell] != kFree) return true;
    if (size_ == ids_.size()) {
      forget(ids_[next_]);
      cell = cell_of(id);  // the shift may have freed an earlier one
    } else {
      ++size_;
    }
    ids_[next_] = id;
    table_[cell] = next_;
    next_ = next_ + 1 == ids_.size() ? 0 : next_ + 1;
    return false;
  }

  void clear() {
    std::fill(table_.begin(), table_.end(), kFree);
    size_ = next_ = 0;
  }

  std::size_t capacity() const { return ids_.size(); }
  std::size_t size() const { return size_; }

 private:
  static constexpr std::uint32_t kFree = ~std::uint32_t{0};

  std::size_t mask() const { return table_.size() - 1; }

  // The finalizer of splitmix64 (Steele, Lea, Flood 2014): ids that differ in high bits only must not share a cluster.
  std::size_t home_of(std::uint64_t id) const {
    id = (id ^ (id >> 30)) * 0xBF58476D1CE4E5B9u;
    id = (id ^ (id >> 27)) * 0x94D049BB133111EBu;
    return static_cast<std::size_t>(id ^ (id >> 31)) & mask();
  }

  // Where `id` is, or the free cell where it belongs.
  std::size_t cell_of(std::uint64_t id) const {
    std::size_t cell = home_of(id);
    while (table_[cell] != kFree && ids_[table_[cell]] != id) cell = (cell + 1) & mask();
    return cell;
  }

  void forget(std::uint64_t id) {
    std::size_t hole = cell_of(id);
    for (std::size_t cell = hole;;) {
      cell = (cell + 1) & mask();
      if (table_[cell] == kFree) break;
      // An entry may move to the hole unless that lies before its home.
      const std::size_t from_home = (cell - home_of(ids_[table_[cell]])) & mask();
      if (from_home < ((cell - hole) & mask())) continue;
      table_[hole] = table_[cell];
      hole = cell;
    }
    table_[hole] = kFree;
  }

  std::vector<std::uint64_t> ids_;    // a ring; the oldest is at next_ once it is full
  std::vector<std::uint32_t> table_;  // places in ids_
  std::size_t size_ = 0;
  std::uint32_t next_ = 0;
};

}  // namespace rk
