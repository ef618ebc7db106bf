// Memory that messages refer to: what is registered, and who is using it.
//
// A reference in a message is an address, a count of elements and the number of a registration. Bytes may come from
// anywhere, so a reference is believed only after hold() has found that its registration is there and contains it; the
// memory then stays until drop(), also when it is released meanwhile.
//
// Edges
//   X1  add -> hold     what a registration says, before its number is found
//   X2  drop -> finish  what was done with the memory, before it is given back
//
// Protection: Slot::word: atomic (X1, X2); Slot::region: constant from add() to finish(), which one thread does.
// chunks_: atomic (X1). free_, used_, generations: mutex_.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "ringkernel/core/message_layout.h"
#include "ringkernel/runtime/host_atomics.h"

namespace rk {

// As it lies in a message. All zero: it refers to nothing.
struct BufferReference {
  std::uint64_t address;
  std::uint32_t count;  // elements
  std::uint32_t key;    // of the registration
};
static_assert(sizeof(BufferReference) == 16 && offsetof(BufferReference, count) == 8);
static_assert(offsetof(BufferReference, key) == 12);

constexpr std::int32_t kHostMemory = -1;
constexpr std::size_t kMostReferences = 16;  // in a message, nested ones too

// What is registered. `device`: whose memory it is, or kHostMemory; `everywhere`: host and devices have it at this
// address (pinned, managed).
struct BufferRegion {
  std::uint64_t address = 0;
  std::uint64_t bytes = 0;
  Scalar scalar = Scalar::kU8;
  bool writable = true;
  bool everywhere = false;
  std::int32_t device = kHostMemory;
  std::shared_ptr<void> owner;  // what the memory is in; may be dropped on any thread
};

// A field of a message that is a reference. `writes`: the handler writes to what it refers to.
struct ReferenceField {
  std::uint32_t offset = 0;
  Scalar scalar = Scalar::kU8;
  bool writes = false;
  std::string name;
};

enum class ReferenceProblem : std::uint8_t { kNone, kReleased, kOutside, kWrongType, kReadOnly, kElsewhere };

class BufferTable {
 public:
  static constexpr std::uint32_t kMostBuffers = 65535;  // at a time

  BufferTable() = default;
  BufferTable(const BufferTable&) = delete;
  BufferTable& operator=(const BufferTable&) = delete;
  ~BufferTable();

  // That of the process: numbers are unique in it, so messages may go from one runtime to another.
  static BufferTable& of_process();

  // Its number, never 0 and never given again; 0: there are kMostBuffers already.
  std::uint32_t add(BufferRegion region);
  // Nobody finds it any more; the owner is dropped when nobody uses it. False: it was not there.
  bool release(std::uint32_t key);
  // How many use it; also after release().
  std::uint32_t holds(std::uint32_t key) const;

  // Whether the reference may be used on `device` (kHostMemory: by the CPU). kNone with a count that is not 0: the
  // memory stays until drop(reference.key). No lock is taken.
  ReferenceProblem hold(const BufferReference& reference, const ReferenceField& field, std::int32_t device);
  // The owner, where this was the last who used memory that was released: it ends with what is returned.
  std::shared_ptr<void> drop(std::uint32_t key);

  static std::string explain(ReferenceProblem problem, const ReferenceField& field, const BufferReference& found);

 private:
  static constexpr std::uint32_t kChunk = 256;

  // key << 32 | kReleased | holds; 0: free.
  struct Slot {
    HostAtomics::Atomic<std::uint64_t> word{0};
    BufferRegion region;
    std::uint32_t generation = 0;
  };
  struct Chunk {
    Slot slots[kChunk];
  };

  Slot* slot_of(std::uint32_t key) const;
  Slot* unused(std::uint32_t* index);
  std::shared_ptr<void> finish(Slot& slot, std::uint32_t index);
  static ReferenceProblem check(const BufferRegion& region, const BufferReference& reference,
                                const ReferenceField& field, std::int32_t device);

  HostAtomics::Atomic<Chunk*> chunks_[(kMostBuffers + 1) / kChunk];
  std::mutex mutex_;
  std::vector<std::uint32_t> free_;
  std::uint32_t used_ = 0;  // slots that were ever taken
};

// The buffers of one message, held until drop() or the end. One thread at a time.
class BufferHolds {
 public:
  struct Held {
    std::uint64_t address, bytes;
    std::uint32_t key;
  };

  BufferHolds() = default;
  ~BufferHolds() { drop(); }
  BufferHolds(const BufferHolds&) = delete;
  BufferHolds& operator=(const BufferHolds&) = delete;

  // All references of a payload, or none: then problem() says why. `fields`: at most kMostReferences.
  bool take(std::span<const ReferenceField> fields, const std::byte* payload, std::int32_t device = kHostMemory);
  void drop();
  void drop_into(std::vector<std::shared_ptr<void>>& owners);  // where owners must not end at once

  std::span<const Held> held() const { return {held_, count_}; }  // those that are not empty
  ReferenceProblem problem() const { return problem_; }
  const BufferReference& culprit() const { return culprit_; }
  const ReferenceField* field() const { return field_; }  // of the culprit

 private:
  Held held_[kMostReferences];
  std::size_t count_ = 0;
  ReferenceProblem problem_ = ReferenceProblem::kNone;
  BufferReference culprit_{};
  const ReferenceField* field_ = nullptr;
};

}  // namespace rk
