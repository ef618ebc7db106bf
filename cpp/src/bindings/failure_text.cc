#include "failure_text.h"

#include "ringkernel/compiled.h"

namespace rk::py {

namespace {

const char* meaning(std::uint32_t failure) {
  switch (failure) {
    case RK_FAIL_ASSERTION:
      return "assertion failed";
    case RK_FAIL_SEND_FULL:
      return "not sent: the receiver's inbox is full";
    case RK_FAIL_SEND_CLOSED:
      return "not sent: the receiver is terminating or gone";
    case RK_FAIL_SEND_TOO_LARGE:
      return "not sent: the message is larger than the receiver's slots; launch it with a larger max_message_size";
    case RK_FAIL_SEND_UNDECLARED:
      return "not sent: no edge leads there; name the target in publishes_to= or use rt.connect()";
    case RK_FAIL_CANCELLED:
      return "the handler did not return in time and was stopped";
    default:
      return "not sent: no memory, or no such topic";
  }
}

}  // namespace

std::string failure_text(std::uint32_t code, std::uint32_t line, const std::string& file,
                         const std::unordered_map<std::uint32_t, std::string>& assertions) {
  std::string text = meaning(code);
  const auto said = code == RK_FAIL_ASSERTION ? assertions.find(line) : assertions.end();
  if (said != assertions.end()) text.append(": ").append(said->second);
  if (line != 0) text.append(" (").append(file).append(":").append(std::to_string(line)).append(")");
  return text;
}

}  // namespace rk::py
