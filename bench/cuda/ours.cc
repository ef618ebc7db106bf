// Our side of the round trip in C++: a runtime of the library with one handler that was compiled for the device. Python
// compiles the handler and opens it here; then no Python is in the loop.
//
// Protection: an Ours belongs to the thread that calls.
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <exception>
#include <memory>
#include <utility>
#include <vector>

#include "ringkernel/runtime/cuda_backend.h"
#include "ringkernel/runtime/device_code.h"
#include "ringkernel/runtime/host_atomics.h"
#include "ringkernel/runtime/runtime.h"

namespace {

constexpr std::uint64_t kPatienceNs = 10'000'000'000;
constexpr std::size_t kRequestBytes = 64, kReplyBytes = 72;

std::uint64_t soon() { return rk::HostAtomics::monotonic_ns() + kPatienceNs; }

// What the host has to know of code that runs elsewhere.
class DeviceEcho final : public rk::Handler {
 public:
  explicit DeviceEcho(rk::DeviceCode code) : code_(std::move(code)) {}

  const rk::DeviceCode* device_code() const override { return &code_; }
  rk::Outcome handle(rk::KernelContext&, const rk::MessageHeader&, const std::byte*) override {
    return rk::Outcome::kRefused;  // no host runs it
  }

 private:
  rk::DeviceCode code_;
};

class Ours {
 public:
  Ours(int device, std::uint64_t lease_ns, rk::DeviceCode code) : type_id_(code.accepts.front().type_id) {
    rk::CudaOptions options;
    options.devices = {device};
    options.lease_ns = lease_ns;
    runtime_ = std::make_shared<rk::Runtime>(std::shared_ptr<rk::Backend>(rk::make_cuda_backend(options)),
                                             rk::RuntimeOptions{});
    rk::KernelOptions named;
    named.name = "mirror";
    kernel_ = runtime_->launch(std::make_shared<DeviceEcho>(std::move(code)), named);
    kernel_->activate(soon(), [] {});
  }
  ~Ours() {
    runtime_->close(soon(), [] {});
  }
  Ours(const Ours&) = delete;
  Ours& operator=(const Ours&) = delete;

  // False: no answer, or one of another size.
  bool round_trip(const std::uint32_t* words, std::uint32_t* answer) {
    rk::MessageHeader header{};
    header.version = rk::kMessageVersion;
    header.type_id = type_id_;
    header.payload_size = kRequestBytes;
    header.message_id = kernel_->next_message_id();
    if (kernel_->try_send(header, reinterpret_cast<const std::byte*>(words), 0) != rk::Status::kOk) return false;
    if (!kernel_->receive(0, &frame_, soon()) || frame_.size() < sizeof header + kReplyBytes) return false;
    std::memcpy(answer, frame_.data() + sizeof header, kReplyBytes);
    return true;
  }

 private:
  std::uint32_t type_id_;
  std::shared_ptr<rk::Runtime> runtime_;
  std::shared_ptr<rk::Kernel> kernel_;
  rk::Frame frame_;
};

}  // namespace

extern "C" {

// nullptr: it could not be made, and `error` says why.
__attribute__((visibility("default"))) void* rk_ours_open(int device, std::uint64_t lease_ns, const void* image,
                                                          std::uint64_t bytes, const char* arch,
                                                          std::uint32_t block_size, std::uint32_t shared,
                                                          std::uint32_t copy, std::uint32_t type_id, char* error,
                                                          std::uint64_t error_bytes) {
  try {
    const auto* first = static_cast<const std::byte*>(image);
    rk::DeviceCode code;
    code.image = std::make_shared<const std::vector<std::byte>>(first, first + bytes);
    code.arch = arch;
    code.block_size = block_size;
    code.shared_bytes = shared;
    code.copy_bytes = copy;
    code.accepts.push_back({type_id, kRequestBytes});
    return new Ours(device, lease_ns, std::move(code));
  } catch (const std::exception& failure) {
    std::snprintf(error, error_bytes, "%s", failure.what());
    return nullptr;
  }
}

// A RoundTrip of loop.cc.
__attribute__((visibility("default"))) int rk_ours_round_trip(void* ours, const std::uint32_t* words,
                                                              std::uint32_t* answer) {
  try {
    return static_cast<Ours*>(ours)->round_trip(words, answer) ? 0 : 1;
  } catch (const std::exception&) {
    return 2;
  }
}

__attribute__((visibility("default"))) void rk_ours_close(void* ours) { delete static_cast<Ours*>(ours); }

}  // extern "C"
