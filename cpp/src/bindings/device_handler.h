// A handler that was compiled for a device. Nothing of it runs here: this is what the host knows of it, a copy of its
// states, and why messages failed.
//
// Protection: code_: constant after init. What failed last: whoever serves the grid, one thread at a time.
#pragma once

#include <cstdint>
#include <string>

#include "machine_handler.h"
#include "ringkernel/runtime/device_code.h"

namespace rk::py {

class DeviceHandler final : public MachineHandler {
 public:
  // What `given` says too (accepts, initial_state, targets) is taken from there.
  DeviceHandler(DeviceCode code, Given given);

  const DeviceCode* device_code() const override { return &code_; }
  void failed_on_device(std::uint32_t instance, const MessageHeader& header, Outcome outcome, std::uint32_t code,
                        std::uint32_t line) override;
  void refused_for_device(std::uint32_t instance, const MessageHeader& header, const BufferHolds& refused) override;
  // No host runs it.
  Outcome handle(KernelContext& context, const MessageHeader& header, const std::byte* payload) override;

 protected:
  std::string explain(Instance& failed) const override;

 private:
  struct alignas(kAlign) Failed {
    std::uint32_t line = 0;
  };

  DeviceCode code_;
};

}  // namespace rk::py
