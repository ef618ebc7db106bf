// Our side of the actor scenarios: all that knows how kernels are launched and spoken to.
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "actor_load.h"
#include "ringkernel/runtime/host_atomics.h"
#include "ringkernel/runtime/runtime.h"

namespace rk::bench {

constexpr std::uint32_t kLoadType = 1, kGoType = 2;
constexpr std::uint64_t kPatienceNs = 20'000'000'000;

inline std::uint64_t soon() { return HostAtomics::monotonic_ns() + kPatienceNs; }

template <class T>
std::span<const std::byte> bytes_of(const T& value) {
  return {reinterpret_cast<const std::byte*>(&value), sizeof value};
}

template <class T>
const T& as(const std::byte* payload) {
  return *reinterpret_cast<const T*>(payload);
}

// A runtime with one worker on the first core, or two on both.
class Workshop {
 public:
  explicit Workshop(int workers) : two_(workers == 2) {
    const Placement placement(two_);
    const Scheduler::Options options{.workers = static_cast<std::uint32_t>(workers), .pin = false};
    runtime_ = std::make_shared<Runtime>(std::shared_ptr<Backend>(make_cpu_backend(options)), RuntimeOptions{});
  }
  ~Workshop() {
    runtime_->close(soon(), [] {});
  }
  Workshop(const Workshop&) = delete;
  Workshop& operator=(const Workshop&) = delete;

  // Begins to run with start(). `worker` counts from 0.
  std::shared_ptr<Kernel> launch(std::shared_ptr<Handler> handler, int worker = 0) {
    const Placement placement(two_);
    KernelOptions options;
    options.name = "kernel " + std::to_string(kernels_.size());
    options.capacity = kCapacity;
    options.max_payload = sizeof(Load);
    options.worker = two_ ? worker : 0;
    kernels_.push_back(runtime_->launch(std::move(handler), options));
    return kernels_.back();
  }

  void connect(const Kernel& from, const Kernel& to) { runtime_->connect(from.name(), to.name(), {}); }

  void start() {
    for (const auto& kernel : kernels_) kernel->activate(soon(), [] {});
  }

 private:
  bool two_;
  std::shared_ptr<Runtime> runtime_;
  std::vector<std::shared_ptr<Kernel>> kernels_;
};

// The host's end of a kernel. Spins.
class Port {
 public:
  explicit Port(std::shared_ptr<Kernel> kernel) : kernel_(std::move(kernel)) {}

  template <class T>
  void send(std::uint32_t type_id, const T& message) {
    MessageHeader header{};
    header.version = kMessageVersion;
    header.type_id = type_id;
    header.payload_size = sizeof message;
    header.message_id = kernel_->next_message_id();
    while (kernel_->try_send(header, bytes_of(message).data(), 0) == Status::kFull) pause();
  }

  template <class T, class Take>
  void receive(Take&& take) {
    if (!kernel_->receive(0, &frame_, soon())) std::abort();
    take(as<T>(frame_.data() + sizeof(MessageHeader)));
  }

 private:
  std::shared_ptr<Kernel> kernel_;
  Frame frame_;
};

// From a handler. False: there is no room.
template <class T>
bool send_to(KernelContext& context, Address to, std::uint32_t type_id, const T& message) {
  const Status sent = context.send(to, Outgoing{type_id, bytes_of(message)});
  if (sent != Status::kOk && sent != Status::kFull) std::abort();
  return sent == Status::kOk;
}

}  // namespace rk::bench
