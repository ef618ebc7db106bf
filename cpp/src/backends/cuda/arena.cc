#include "arena.h"

#include <algorithm>
#include <iterator>

namespace rk::cuda {

void Arena::add_chunk(std::uint64_t begin, std::uint64_t bytes) {
  bytes = bytes / kAlign * kAlign;
  if (bytes == 0) return;
  chunks_.emplace(begin, bytes);
  free_.emplace(begin, bytes);
  total_ += bytes;
}

std::optional<std::uint64_t> Arena::take(std::uint64_t bytes) {
  bytes = rounded(bytes);
  auto best = free_.end();
  for (auto piece = free_.begin(); piece != free_.end(); ++piece) {
    if (piece->second >= bytes && (best == free_.end() || piece->second < best->second)) best = piece;
  }
  if (best == free_.end()) return std::nullopt;
  const auto [begin, size] = *best;
  free_.erase(best);
  if (size > bytes) free_.emplace(begin + bytes, size - bytes);
  used_ += bytes;
  return begin;
}

void Arena::give(std::uint64_t address, std::uint64_t bytes) {
  bytes = rounded(bytes);
  used_ -= bytes;
  auto piece = free_.emplace(address, bytes).first;
  // Chunks that happen to be neighbours are not one piece: they were not reserved together.
  const auto after = std::next(piece);
  if (after != free_.end() && after->first == address + bytes && !chunks_.contains(after->first)) {
    piece->second += after->second;
    free_.erase(after);
  }
  if (piece == free_.begin() || chunks_.contains(address)) return;
  const auto before = std::prev(piece);
  if (before->first + before->second == address) {
    before->second += piece->second;
    free_.erase(piece);
  }
}

std::uint64_t Arena::largest_free() const {
  std::uint64_t largest = 0;
  for (const auto& [begin, bytes] : free_) largest = std::max(largest, bytes);
  return largest;
}

}  // namespace rk::cuda
