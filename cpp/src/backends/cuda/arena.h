// Pieces of large chunks: what is free, by address. Knows nothing of where chunks come from.
//
// Protection: none; whoever owns it.
#pragma once

#include <cstdint>
#include <map>
#include <optional>

namespace rk::cuda {

class Arena {
 public:
  static constexpr std::uint64_t kAlign = 256;

  // Chunks begin at multiples of kAlign and are never taken back.
  void add_chunk(std::uint64_t begin, std::uint64_t bytes);
  // The smallest free piece that is large enough; nothing when there is none.
  std::optional<std::uint64_t> take(std::uint64_t bytes);
  // What take(bytes) gave.
  void give(std::uint64_t address, std::uint64_t bytes);

  std::uint64_t total_bytes() const { return total_; }
  std::uint64_t used_bytes() const { return used_; }
  std::uint64_t largest_free() const;
  static std::uint64_t rounded(std::uint64_t bytes) { return (bytes + kAlign - 1) / kAlign * kAlign; }

 private:
  std::map<std::uint64_t, std::uint64_t> free_;    // begin -> bytes; neighbours of one chunk are joined
  std::map<std::uint64_t, std::uint64_t> chunks_;  // begin -> bytes
  std::uint64_t total_ = 0, used_ = 0;
};

}  // namespace rk::cuda
