// A C function as a handler. What it is promised is in ringkernel/native.h.
#pragma once

#include <string>

#include "machine_handler.h"
#include "ringkernel/native.h"

namespace rk::py {

class NativeHandler final : public MachineHandler {
 public:
  NativeHandler(rk_handler function, Given given);

  Outcome handle(KernelContext& context, const MessageHeader& header, const std::byte* payload) override;

  // What rk_context::send does.
  Status send(KernelContext& context, std::uint32_t target, const Outgoing& message);

 protected:
  std::string explain(Instance& failed) const override;

 private:
  rk_handler function_;
};

}  // namespace rk::py
