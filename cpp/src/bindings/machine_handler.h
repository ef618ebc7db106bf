// What handlers of machine code share, whoever made it: they run without the GIL, and nothing here is of Python. The
// state of each instance, what is accepted, why messages failed, and where names lead.
//
// Protection: given_: constant after init, but for `resolve` and `keep_alive`, which the last worker drops when no call
// will come any more. instances_: atomic (N1); the block of an instance: its worker. targets_: atomic (S). errors_:
// mutex_.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "ringkernel/runtime/buffer_table.h"
#include "ringkernel/runtime/handler.h"
#include "ringkernel/runtime/host_atomics.h"

namespace rk::py {

class MachineHandler : public Handler {
 public:
  static constexpr std::uint64_t kNowhere = ~std::uint64_t{0};

  struct Accepted {
    std::uint32_t type_id = 0, size = 0;  // size: of the payload, in bytes
    std::vector<ReferenceField> references = {};
  };

  struct Given {
    std::vector<Accepted> accepts;
    std::vector<std::byte> initial_state;  // of every instance; empty: it has none
    std::uint32_t instances = 1;
    std::vector<std::string> targets;  // the names that the code sends to, by index
    // The address word of targets[index], or kNowhere. Called without the GIL, by any worker; throws nothing.
    std::function<std::uint64_t(std::uint32_t index)> resolve;
    std::shared_ptr<void> keep_alive;  // what the code is in
  };

  ~MachineHandler() override;
  MachineHandler(const MachineHandler&) = delete;
  MachineHandler& operator=(const MachineHandler&) = delete;

  std::string error_text(std::uint32_t instance) override;
  void restart(std::uint32_t instance) override;
  void ends() override;
  // Where it is does not change. Made when first asked for: std::bad_alloc.
  std::span<std::byte> state_of(std::uint32_t instance) override;

  // Why `message_id` failed, and forgets it; "" when unknown.
  std::string take_error(std::uint64_t message_id);

 protected:
  static constexpr std::size_t kAlign = 64;  // whole cache lines: instances run side by side

  // In front of the bytes of its state, in one block; then those that the kind of handler wants.
  struct alignas(kAlign) Instance {
    std::int32_t code = 0;                                       // why the last message failed, where it did
    std::uint32_t type_id = 0, size_found = 0, size_needed = 0;  // of what was refused; size_needed 0: the type was
    BufferReference reference{};                                 // that was refused, when `field` is not nullptr
    const ReferenceField* field = nullptr;
    ReferenceProblem problem = ReferenceProblem::kNone;

    std::byte* state() { return reinterpret_cast<std::byte*>(this + 1); }
  };

  // `extra`: bytes of each instance behind its state, aligned, zeros.
  MachineHandler(Given given, std::size_t extra);

  // For a new instance, before anybody else finds it.
  virtual void prepare(Instance& /*made*/, std::byte* /*extra*/, std::uint32_t /*index*/) {}
  // What Instance::code means.
  virtual std::string explain(Instance& failed) const = 0;

  Instance* instance(std::uint32_t index);  // nullptr: no memory
  std::byte* extra_of(Instance& one) const { return one.state() + state_bytes(); }
  std::byte* state_in(Instance& one) const { return given_.initial_state.empty() ? nullptr : one.state(); }
  // The index in Given::accepts, or -1: refused, and why is noted.
  int accepts(Instance& mine, const MessageHeader& header) const;
  // The buffers that a message of accepts()[entry] refers to are held until `holds` drops them. False: refused, and why
  // is noted.
  bool hold(Instance& mine, std::size_t entry, const std::byte* payload, BufferHolds* holds) const;
  static void note(Instance& mine, const BufferHolds& refused);  // why, for error_text()
  const std::vector<ReferenceField>& references(std::size_t entry) const { return given_.accepts[entry].references; }
  Outcome fail(Outcome outcome, std::uint64_t message_id, std::uint32_t instance) noexcept;

  // Sends to targets[target]; kUndeclared when there is no such index.
  Status send_to(KernelContext& context, std::uint32_t target, std::uint32_t to_instance, const Outgoing& message);
  std::uint64_t free_slots_to(KernelContext& context, std::uint32_t target);

 private:
  using Place = HostAtomics::Atomic<Instance*>;

  Instance* make(std::uint32_t index);
  std::size_t state_bytes() const { return (given_.initial_state.size() + kAlign - 1) / kAlign * kAlign; }
  std::uint64_t known_or_resolved(std::uint32_t target);
  std::uint64_t resolve(std::uint32_t target);

  Given given_;
  std::size_t extra_;
  std::vector<Place> instances_;                             // made when first needed
  std::vector<HostAtomics::Atomic<std::uint64_t>> targets_;  // address words; kNowhere: not asked for yet
  std::mutex mutex_;
  std::deque<std::pair<std::uint64_t, std::string>> errors_;  // newest last, bounded
};

}  // namespace rk::py
