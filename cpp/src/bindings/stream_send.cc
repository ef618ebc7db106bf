// A stream calls us on a thread of the driver, which may wait but must not ask the driver for anything. Whatever is
// needed to send may be the last that keeps a device's memory: it is put aside there, and freed on another thread.
//
// Protection: tickets: their mutex.
#include "stream_send.h"

#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "cuda/device.h"
#include "cuda_device.h"

namespace rk::py {

namespace py = pybind11;

namespace {

struct StreamSend {
  std::shared_ptr<cuda::Device> device;
  std::shared_ptr<Runtime> runtime;
  std::shared_ptr<Kernel> kernel;
  MessageHeader header;
  std::vector<std::byte> payload;
  std::uint32_t instance;
  std::uint64_t timeout_ns;

  void operator()() {
    const std::uint64_t now = HostAtomics::monotonic_ns();
    const std::uint64_t deadline = timeout_ns < kNoDeadline - now ? now + timeout_ns : kNoDeadline;
    Status status = kernel->try_send(header, payload.data(), instance);
    while (status == Status::kFull && HostAtomics::monotonic_ns() < deadline) {
      kernel->wait_for_room(instance, header.priority, deadline);
      status = kernel->try_send(header, payload.data(), instance);
    }
    if (status != Status::kOk) bury(status);
  }

  void bury(Status status) {
    const bool full = status == Status::kFull;
    runtime->dead_letters().add(full ? DeadLetterReason::kBackPressure : DeadLetterReason::kUndeliverable,
                                runtime->clock().now(), header, payload, kernel->name(),
                                full                        ? "its inbox stayed full when the stream came to it"
                                : status == Status::kClosed ? "the kernel was over when the stream came to it"
                                                            : "no memory for a ring of the stream's thread");
  }
};

// What the driver was given, and calls at most once: never when the device has failed before.
struct Ticket {
  std::unique_ptr<StreamSend> send;
};

class Tickets {
 public:
  Ticket* issue(std::unique_ptr<StreamSend> send) {
    auto ticket = std::make_unique<Ticket>(Ticket{std::move(send)});
    const std::lock_guard lock(mutex_);
    return *waiting_.insert(ticket.release()).first;
  }

  // nullptr: it was forgotten.
  std::unique_ptr<StreamSend> redeem(Ticket* ticket) {
    const std::unique_ptr<Ticket> owned(ticket);
    const std::lock_guard lock(mutex_);
    waiting_.erase(ticket);
    return std::move(ticket->send);
  }

  void put_aside(std::unique_ptr<StreamSend> done) {
    const std::lock_guard lock(mutex_);
    over_.push_back(std::move(done));
  }

  // Those that are over, or will never be called; a few bytes of these stay, since nobody says so.
  void forget() {
    std::vector<std::unique_ptr<StreamSend>> gone;
    const std::lock_guard lock(mutex_);
    gone.swap(over_);
    std::erase_if(waiting_, [&gone](Ticket* ticket) {
      if (!ticket->send->device->lost()) return false;
      gone.push_back(std::move(ticket->send));
      return true;
    });
  }

 private:
  std::mutex mutex_;
  std::set<Ticket*> waiting_;
  std::vector<std::unique_ptr<StreamSend>> over_;
};

Tickets& tickets() {
  static auto& made = *new Tickets;  // streams may outlive static objects
  return made;
}

void on_stream(void* given) noexcept {
  std::unique_ptr<StreamSend> send = tickets().redeem(static_cast<Ticket*>(given));
  if (!send) return;
  (*send)();
  tickets().put_aside(std::move(send));
}

}  // namespace

void forget_stream_sends() { tickets().forget(); }

bool send_after(const KernelBox& box, PyObject* stream, const MessageHeader& header, const std::byte* payload,
                std::uint32_t instance, std::uint64_t timeout_ns) {
  try {
    const auto place_of = py::module_::import("pyringkernel._streams").attr("place_of");
    const auto [handle, index] = place_of(py::handle(stream)).cast<std::pair<std::uintptr_t, int>>();
    auto send = std::make_unique<StreamSend>(StreamSend{
        nullptr, box.runtime, box.kernel, header, {payload, payload + header.payload_size}, instance, timeout_ns});
    const py::gil_scoped_release release;
    forget_stream_sends();
    const auto device = send->device = open_device(index);
    Ticket* ticket = tickets().issue(std::move(send));
    try {
      device->call("sending after a stream", device->api().launch_host_func,
                   reinterpret_cast<cuda::StreamHandle>(handle), &on_stream, static_cast<void*>(ticket));
    } catch (...) {
      const auto refused = tickets().redeem(ticket);
      throw;
    }
    return true;
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const Error& error) {
    raise(error.kind(), "%s", error.what());
  }
  return false;
}

}  // namespace rk::py
