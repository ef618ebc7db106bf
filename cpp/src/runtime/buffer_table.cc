// Edges: see buffer_table.h.
#include "ringkernel/runtime/buffer_table.h"

#include <cstring>
#include <utility>

namespace rk {
namespace {

constexpr std::uint64_t kReleased = std::uint64_t{1} << 31;
constexpr std::uint64_t kHolds = kReleased - 1;
constexpr std::uint32_t kGenerations = 0xFFFF;

constexpr std::uint32_t key_in(std::uint64_t word) { return static_cast<std::uint32_t>(word >> 32); }
constexpr std::uint32_t index_in(std::uint32_t key) { return key & 0xFFFF; }

constexpr const char* kNames[] = {"bool", "i8",  "i16", "i32", "i64", "u8",    "u16",
                                  "u32",  "u64", "f16", "f32", "f64", "bytes", "struct"};
constexpr std::uint32_t kSizes[] = {1, 1, 2, 4, 8, 1, 2, 4, 8, 2, 4, 8, 1, 1};

}  // namespace

// Never destroyed: threads may still drop what they hold when the process ends.
BufferTable& BufferTable::of_process() {
  static auto* const table = new BufferTable;
  return *table;
}

BufferTable::~BufferTable() {
  for (auto& chunk : chunks_) delete chunk.load_relaxed();  // X1 alone
}

BufferTable::Slot* BufferTable::slot_of(std::uint32_t key) const {
  const std::uint32_t index = index_in(key);
  Chunk* chunk = chunks_[index / kChunk].load_acquire();  // X1
  return chunk == nullptr ? nullptr : &chunk->slots[index % kChunk];
}

// Slot 0 stays empty, so that no number is 0. mutex_ is held.
BufferTable::Slot* BufferTable::unused(std::uint32_t* index) {
  if (!free_.empty()) {
    *index = free_.back();
    free_.pop_back();
    return slot_of(*index);
  }
  if (used_ == kMostBuffers) return nullptr;
  *index = used_ + 1;
  auto& place = chunks_[*index / kChunk];
  if (place.load_relaxed() == nullptr) place.store_release(new Chunk);  // X1
  free_.reserve(used_ + 1);                                             // finish() needs no memory
  ++used_;
  return slot_of(*index);
}

std::uint32_t BufferTable::add(BufferRegion region) {
  const std::lock_guard lock(mutex_);
  std::uint32_t index = 0;
  Slot* slot = unused(&index);
  if (slot == nullptr) return 0;
  slot->region = std::move(region);
  const std::uint32_t key = slot->generation++ << 16 | index;
  slot->word.store_release(std::uint64_t{key} << 32);  // X1
  return key;
}

bool BufferTable::release(std::uint32_t key) {
  Slot* slot = slot_of(key);
  if (slot == nullptr) return false;
  std::uint64_t seen = slot->word.load_acquire();  // X1
  do {
    if (key_in(seen) != key || key == 0 || (seen & kReleased) != 0) return false;
  } while (!slot->word.cas_acq_rel(seen, seen | kReleased));  // X2
  if ((seen & kHolds) == 0) (void)finish(*slot, index_in(key));
  return true;
}

std::uint32_t BufferTable::holds(std::uint32_t key) const {
  const Slot* slot = slot_of(key);
  const std::uint64_t seen = slot == nullptr ? 0 : slot->word.load_acquire();  // X2
  return key_in(seen) == key ? static_cast<std::uint32_t>(seen & kHolds) : 0;
}

// By who released it when nobody held it, else by the last who did: exactly one.
std::shared_ptr<void> BufferTable::finish(Slot& slot, std::uint32_t index) {
  std::shared_ptr<void> owner = std::move(slot.region.owner);  // ends with the caller, without the mutex
  const std::lock_guard lock(mutex_);
  slot.word.store_release(0);                                  // X2
  if (slot.generation < kGenerations) free_.push_back(index);  // else its numbers are used up
  return owner;
}

ReferenceProblem BufferTable::hold(const BufferReference& reference, const ReferenceField& field, std::int32_t device) {
  if (reference.count == 0) return ReferenceProblem::kNone;
  Slot* slot = slot_of(reference.key);
  if (slot == nullptr || reference.key == 0) return ReferenceProblem::kReleased;
  std::uint64_t seen = slot->word.load_acquire();  // X1
  do {
    if (key_in(seen) != reference.key || (seen & kReleased) != 0) return ReferenceProblem::kReleased;
  } while (!slot->word.cas_acq_rel(seen, seen + 1));  // X1
  const ReferenceProblem problem = check(slot->region, reference, field, device);
  if (problem != ReferenceProblem::kNone) (void)drop(reference.key);
  return problem;
}

std::shared_ptr<void> BufferTable::drop(std::uint32_t key) {
  Slot* slot = slot_of(key);
  const std::uint64_t before = slot->word.fetch_sub_acq_rel(1);  // X2
  const bool last = (before & (kReleased | kHolds)) == (kReleased | 1);
  return last ? finish(*slot, index_in(key)) : nullptr;
}

ReferenceProblem BufferTable::check(const BufferRegion& region, const BufferReference& reference,
                                    const ReferenceField& field, std::int32_t device) {
  if (region.scalar != field.scalar) return ReferenceProblem::kWrongType;
  const std::uint64_t size = kSizes[static_cast<std::size_t>(region.scalar)];
  const std::uint64_t bytes = size * reference.count;
  const std::uint64_t offset = reference.address - region.address;
  const bool inside = reference.address >= region.address && bytes <= region.bytes && offset <= region.bytes - bytes;
  if (!inside || offset % size != 0) return ReferenceProblem::kOutside;
  if (field.writes && !region.writable) return ReferenceProblem::kReadOnly;
  if (region.device != device && !region.everywhere) return ReferenceProblem::kElsewhere;
  return ReferenceProblem::kNone;
}

std::string BufferTable::explain(ReferenceProblem problem, const ReferenceField& field, const BufferReference& found) {
  const std::string buffer = "buffer " + std::to_string(found.key);
  switch (problem) {
    case ReferenceProblem::kNone:
      return {};
    case ReferenceProblem::kReleased:
      return "the reference in " + field.name + " is stale: " + buffer + " was released, or never was registered";
    case ReferenceProblem::kOutside:
      return "the reference in " + field.name + " is malformed: it leads out of " + buffer;
    case ReferenceProblem::kWrongType:
      return "the reference in " + field.name + " is malformed: " + buffer + " does not hold rk." +
             kNames[static_cast<std::size_t>(field.scalar)];
    case ReferenceProblem::kReadOnly:
      return "the handler writes to " + field.name + ", and " + buffer + " was registered with writable=False";
    case ReferenceProblem::kElsewhere:
      return buffer + " in " + field.name + " is in memory that this kernel cannot reach";
  }
  return {};
}

bool BufferHolds::take(std::span<const ReferenceField> fields, const std::byte* payload, std::int32_t device) {
  drop();
  BufferTable& table = BufferTable::of_process();
  for (const ReferenceField& field : fields) {
    BufferReference reference;
    std::memcpy(&reference, payload + field.offset, sizeof(reference));
    problem_ = table.hold(reference, field, device);
    if (problem_ != ReferenceProblem::kNone) {
      culprit_ = reference;
      field_ = &field;
      drop();
      return false;
    }
    const std::uint64_t size = kSizes[static_cast<std::size_t>(field.scalar)];
    if (reference.count != 0) held_[count_++] = {reference.address, size * reference.count, reference.key};
  }
  return true;
}

void BufferHolds::drop() {
  for (const Held& one : held()) (void)BufferTable::of_process().drop(one.key);
  count_ = 0;
}

void BufferHolds::drop_into(std::vector<std::shared_ptr<void>>& owners) {
  for (const Held& one : held()) {
    if (std::shared_ptr<void> owner = BufferTable::of_process().drop(one.key)) owners.push_back(std::move(owner));
  }
  count_ = 0;
}

}  // namespace rk
