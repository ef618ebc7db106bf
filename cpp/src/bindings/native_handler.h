// A C function as a handler: it runs without the GIL, and nothing here is of Python. What it is promised is in
// ringkernel/native.h.
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

#include "ringkernel/native.h"
#include "ringkernel/runtime/handler.h"
#include "ringkernel/runtime/host_atomics.h"

namespace rk::py {

// Protection: options_: constant after init, but for `resolve` and `keep_alive`, which the last worker drops when no
// call will come any more. instances_: atomic (N1); the block of an instance: its worker. targets_: atomic (S).
// errors_: mutex_.
class NativeHandler final : public Handler {
 public:
  static constexpr std::uint64_t kNowhere = ~std::uint64_t{0};

  struct Accepted {
    std::uint32_t type_id = 0, size = 0;  // size: of the payload, in bytes
  };

  struct Options {
    rk_handler function = nullptr;
    std::vector<Accepted> accepts;
    std::vector<std::byte> initial_state;  // of every instance; empty: it has none
    std::uint32_t instances = 1;
    std::uint32_t targets = 0;  // how many names are in publishes_to
    // The address word of publishes_to[index], or kNowhere. Called without the GIL, by any worker; throws nothing.
    std::function<std::uint64_t(std::uint32_t index)> resolve;
    std::shared_ptr<void> keep_alive;  // the library that the function is in
  };

  explicit NativeHandler(Options options);
  ~NativeHandler() override;
  NativeHandler(const NativeHandler&) = delete;
  NativeHandler& operator=(const NativeHandler&) = delete;

  Outcome handle(KernelContext& context, const MessageHeader& header, const std::byte* payload) override;
  std::string error_text(std::uint32_t instance) override;
  void restart(std::uint32_t instance) override;
  void ends() override;
  // Where it is does not change. Made when first asked for: std::bad_alloc.
  std::span<std::byte> state_of(std::uint32_t instance) override;

  // Why `message_id` failed, and forgets it; "" when unknown.
  std::string take_error(std::uint64_t message_id);

  // What rk_context::send does.
  Status send(KernelContext& context, std::uint32_t target, const Outgoing& message);

 private:
  struct Instance;
  using Place = HostAtomics::Atomic<Instance*>;

  Instance* instance(std::uint32_t index);  // nullptr: no memory
  Instance* make(Place& place);
  bool accepts(Instance& mine, const MessageHeader& header) const;
  Outcome fail(Outcome outcome, std::uint64_t message_id, std::uint32_t instance) noexcept;

  Options options_;
  std::vector<Place> instances_;                             // made when first needed
  std::vector<HostAtomics::Atomic<std::uint64_t>> targets_;  // address words; kNowhere: not asked for yet
  std::mutex mutex_;
  std::deque<std::pair<std::uint64_t, std::string>> errors_;  // newest last, bounded
};

}  // namespace rk::py
