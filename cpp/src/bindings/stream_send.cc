// A stream calls us on a thread of the driver, which may wait but must not ask the driver for anything. So nothing is
// kept for it that would free a device's memory when it goes; and what went elsewhere meanwhile, so that we have the
// last of it, is put aside for another thread.
//
// Protection: LastOnes: its mutex.
#include "stream_send.h"

#include <memory>
#include <mutex>
#include <string>
#include <utility>
#include <vector>

#include "cuda/device.h"
#include "cuda_device.h"

namespace rk::py {

namespace py = pybind11;

namespace {

// A device that fails before its turn never calls: these few bytes stay then.
struct StreamSend {
  std::weak_ptr<Runtime> runtime;
  std::weak_ptr<Kernel> kernel;
  MessageHeader header;
  std::vector<std::byte> payload;
  std::uint32_t instance;
  std::uint64_t timeout_ns;

  void deliver(Runtime& to, Kernel& receiver) {
    const std::uint64_t now = HostAtomics::monotonic_ns();
    const std::uint64_t deadline = timeout_ns < kNoDeadline - now ? now + timeout_ns : kNoDeadline;
    Status status = receiver.try_send(header, payload.data(), instance);
    while (status == Status::kFull && HostAtomics::monotonic_ns() < deadline) {
      receiver.wait_for_room(instance, header.priority, deadline);
      status = receiver.try_send(header, payload.data(), instance);
    }
    if (status == Status::kOk) return;
    const bool full = status == Status::kFull;
    to.dead_letters().add(full ? DeadLetterReason::kBackPressure : DeadLetterReason::kUndeliverable, to.clock().now(),
                          header, payload, receiver.name(),
                          full                        ? "its inbox stayed full when the stream came to it"
                          : status == Status::kClosed ? "the kernel was over when the stream came to it"
                                                      : "no memory for a ring of the stream's thread");
  }
};

class LastOnes {
 public:
  void put_aside(std::shared_ptr<void> one) {
    const std::lock_guard lock(mutex_);
    all_.push_back(std::move(one));
  }
  void forget() {
    std::vector<std::shared_ptr<void>> gone;
    const std::lock_guard lock(mutex_);
    gone.swap(all_);
  }

 private:
  std::mutex mutex_;
  std::vector<std::shared_ptr<void>> all_;
};

LastOnes& last_ones() {
  static auto& made = *new LastOnes;  // streams may outlive static objects
  return made;
}

void on_stream(void* given) noexcept {
  const std::unique_ptr<StreamSend> send(static_cast<StreamSend*>(given));
  std::shared_ptr<Runtime> runtime = send->runtime.lock();
  std::shared_ptr<Kernel> kernel = send->kernel.lock();
  if (runtime && kernel) send->deliver(*runtime, *kernel);  // else nobody could see that it was lost
  if (kernel.use_count() == 1) last_ones().put_aside(std::move(kernel));
  if (runtime.use_count() == 1) last_ones().put_aside(std::move(runtime));
}

}  // namespace

void forget_stream_sends() { last_ones().forget(); }

bool send_after(const KernelBox& box, PyObject* stream, const MessageHeader& header, const std::byte* payload,
                std::uint32_t instance, std::uint64_t timeout_ns) {
  try {
    const auto place_of = py::module_::import("pyringkernel._streams").attr("place_of");
    const auto [handle, index] = place_of(py::handle(stream)).cast<std::pair<std::uintptr_t, int>>();
    auto send = std::make_unique<StreamSend>(
        StreamSend{box.runtime, box.kernel, header, {payload, payload + header.payload_size}, instance, timeout_ns});
    const py::gil_scoped_release release;
    forget_stream_sends();
    const auto device = open_device(index);
    device->call("sending after a stream", device->api().launch_host_func, reinterpret_cast<cuda::StreamHandle>(handle),
                 &on_stream, static_cast<void*>(send.get()));
    [[maybe_unused]] const StreamSend* its = send.release();
    return true;
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const Error& error) {
    raise(error.kind(), "%s", error.what());
  }
  return false;
}

}  // namespace rk::py
