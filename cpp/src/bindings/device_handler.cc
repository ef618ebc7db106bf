#include "device_handler.h"

#include <utility>

#include "failure_text.h"

namespace rk::py {

// The block of an instance is zeros: no line is known yet.
DeviceHandler::DeviceHandler(DeviceCode code, Given given)
    : MachineHandler(given, sizeof(Failed)), code_(std::move(code)) {
  code_.accepts.clear();
  for (const Accepted& one : given.accepts) code_.accepts.push_back({one.type_id, one.size, one.references});
  code_.initial_state = given.initial_state;
  code_.targets = given.targets;
}

Outcome DeviceHandler::handle(KernelContext&, const MessageHeader&, const std::byte*) { return Outcome::kRefused; }

void DeviceHandler::failed_on_device(std::uint32_t index, const MessageHeader& header, Outcome outcome,
                                     std::uint32_t code, std::uint32_t line) {
  Instance* mine = instance(index);
  if (mine == nullptr) return;
  if (outcome == Outcome::kRefused) {
    accepts(*mine, header);  // notes why
  } else {
    mine->code = static_cast<std::int32_t>(code);
    reinterpret_cast<Failed*>(extra_of(*mine))->line = line;
  }
  fail(outcome, header.message_id, index);
}

void DeviceHandler::refused_for_device(std::uint32_t index, const MessageHeader& header, const BufferHolds& refused) {
  Instance* mine = instance(index);
  if (mine == nullptr) return;
  note(*mine, refused);
  fail(Outcome::kRefused, header.message_id, index);
}

std::string DeviceHandler::explain(Instance& failed) const {
  const std::uint32_t line = reinterpret_cast<const Failed*>(extra_of(failed))->line;
  return failure_text(static_cast<std::uint32_t>(failed.code), line, code_.file, code_.assertions);
}

}  // namespace rk::py
