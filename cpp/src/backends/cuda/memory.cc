#include "memory.h"

#include <algorithm>
#include <cstring>
#include <utility>

namespace rk::cuda {
namespace {

constexpr std::size_t kStaging = std::size_t{1} << 20;
constexpr std::size_t kQueued = 256 * kStaging;  // zeros under way at once

std::string text_of(std::size_t bytes) {
  return bytes < (std::size_t{10} << 20) ? std::to_string((bytes + 1023) >> 10) + " KiB"
                                         : std::to_string(bytes >> 20) + " MiB";
}

}  // namespace

// -- pieces -----------------------------------------------------------------------------------------------------------

void DeviceMemory::swap(DeviceMemory& other) noexcept {
  std::swap(heap_, other.heap_);
  std::swap(address_, other.address_);
  std::swap(bytes_, other.bytes_);
}

DeviceMemory::~DeviceMemory() {
  if (heap_ != nullptr) heap_->give(Heap::Kind::kDevice, address_, bytes_);
}

void PinnedMemory::swap(PinnedMemory& other) noexcept {
  std::swap(heap_, other.heap_);
  std::swap(host_, other.host_);
  std::swap(address_, other.address_);
  std::swap(bytes_, other.bytes_);
}

PinnedMemory::~PinnedMemory() {
  if (heap_ != nullptr) heap_->give(Heap::Kind::kPinned, host_, bytes_);
}

DeviceMemory Heap::device_memory(std::size_t bytes) {
  DeviceMemory piece;
  if (bytes == 0) return piece;
  piece.address_ = take(Kind::kDevice, bytes);
  piece.bytes_ = bytes;
  piece.heap_ = shared_from_this();
  zero(piece.address_, bytes);
  return piece;
}

DeviceMemory Heap::device_memory_at_hand(std::size_t bytes) {
  DeviceMemory piece;
  {
    const std::lock_guard lock(mutex_);
    const auto place = device_arena_.take(bytes);
    if (!place) return piece;
    piece.address_ = *place;
  }
  piece.bytes_ = bytes;
  piece.heap_ = shared_from_this();
  zero(piece.address_, bytes);
  return piece;
}

PinnedMemory Heap::pinned_memory(std::size_t bytes) {
  PinnedMemory piece;
  if (bytes == 0) return piece;
  piece.host_ = take(Kind::kPinned, bytes);
  piece.bytes_ = bytes;
  piece.heap_ = shared_from_this();
  piece.address_ = address_of(piece.host_);
  std::memset(piece.data(), 0, bytes);
  return piece;
}

std::uint64_t Heap::take(Kind kind, std::size_t bytes) {
  for (;;) {
    {
      const std::lock_guard lock(mutex_);
      if (const auto piece = arena(kind).take(bytes)) return *piece;
    }
    grow(kind, bytes);  // another thread may be faster, then once more
  }
}

void Heap::give(Kind kind, std::uint64_t address, std::size_t bytes) {
  const std::lock_guard lock(mutex_);
  arena(kind).give(address, bytes);
}

// -- chunks -----------------------------------------------------------------------------------------------------------

std::shared_ptr<Heap> Heap::make(std::shared_ptr<Device> device, HeapOptions options) {
  std::shared_ptr<Heap> heap(new Heap(std::move(device), options));
  Heap* made = heap.get();
  made->device_->quiet("DeviceMemoryError", "reserving memory", options.grow_patience_ns, [made] { made->start(); });
  return heap;
}

void Heap::start() {
  int lowest = 0, highest = 0;
  const DriverApi& api = device_->api();
  device_->call("making a stream", api.ctx_get_stream_priority_range, &lowest, &highest);
  device_->call("making a stream", api.stream_create_with_priority, &stream_, kStreamNonBlocking, highest);
  Result result = kSuccess;
  staging_ = reserve_pinned(2 * kStaging, result);
  if (result != kSuccess) refuse(Kind::kPinned, 2 * kStaging, result);
  std::memset(reinterpret_cast<void*>(staging_.host), 0, kStaging);
  for (const Kind kind : {Kind::kDevice, Kind::kPinned}) {
    const std::size_t chunk = kind == Kind::kDevice ? options_.device_chunk : options_.pinned_chunk;
    if (chunk == 0) continue;
    result = reserve(kind, chunk);
    if (result != kSuccess) refuse(kind, chunk, result);
  }
}

void Heap::grow(Kind kind, std::size_t bytes) {
  const std::string doing = "reserving " + text_of(bytes) + " more memory for kernels";
  device_->quiet("DeviceMemoryError", doing, options_.grow_patience_ns, [this, kind, bytes] {
    const std::size_t exact = Arena::rounded(bytes);
    const std::size_t chunk = std::max(exact, kind == Kind::kDevice ? options_.device_chunk : options_.pinned_chunk);
    {
      const std::lock_guard lock(mutex_);
      if (arena(kind).largest_free() >= exact) return;
      ++growths_;
    }
    Result result = reserve(kind, chunk);
    if (result == kOutOfMemory && chunk > exact) result = reserve(kind, exact);
    if (result != kSuccess) refuse(kind, exact, result);
  });
}

Result Heap::reserve(Kind kind, std::size_t bytes) {
  Result result = kSuccess;
  if (kind == Kind::kPinned) {
    const PinnedChunk chunk = reserve_pinned(bytes, result);
    const std::lock_guard lock(mutex_);
    if (result == kSuccess) pinned_arena_.add_chunk(chunk.host, bytes);
    return result;
  }
  DeviceAddress chunk = 0;
  result = device_->try_call(device_->api().mem_alloc, &chunk, bytes);
  const std::lock_guard lock(mutex_);
  if (result == kSuccess) {
    device_chunks_.push_back(chunk);
    device_arena_.add_chunk(chunk, bytes);
  }
  return result;
}

Heap::PinnedChunk Heap::reserve_pinned(std::size_t bytes, Result& result) {
  const DriverApi& api = device_->api();
  void* host = nullptr;
  PinnedChunk chunk{};
  result = device_->try_call(api.mem_host_alloc, &host, bytes, kHostMemoryPortable | kHostMemoryMapped);
  if (result != kSuccess) return chunk;
  chunk = {reinterpret_cast<std::uintptr_t>(host), 0, bytes};
  result = device_->try_call(api.mem_host_get_device_pointer, &chunk.address, host, 0u);
  if (result != kSuccess) {
    device_->try_call(api.mem_free_host, host);
    return chunk;
  }
  const std::lock_guard lock(mutex_);
  pinned_chunks_.push_back(chunk);
  return chunk;
}

DeviceAddress Heap::address_of(std::uintptr_t host) const {
  const std::lock_guard lock(mutex_);
  for (const PinnedChunk& chunk : pinned_chunks_) {
    if (host - chunk.host < chunk.bytes) return chunk.address + (host - chunk.host);
  }
  return 0;
}

void Heap::refuse(Kind kind, std::size_t bytes, Result result) const {
  const HeapUse now = use();
  const bool on_device = kind == Kind::kDevice;
  const DriverApi& api = device_->api();
  const std::string doing =
      "reserving " + text_of(bytes) + (on_device ? " of device memory on " : " of host memory that is pinned for ") +
      device_->description() + ", beside " + text_of(on_device ? now.device_total : now.pinned_total) +
      " that this runtime has already,";
  device_->check(result, on_device ? api.mem_alloc.name : api.mem_host_alloc.name, doing);
  throw Error("DeviceMemoryError", doing + " failed");
}

// Pieces that come back while copies to them are under way need no care: what is done with them next is queued behind.
bool Heap::copies_end() {
  if (stream_ == nullptr) return true;
  return poll_until(options_.grow_patience_ns,
                    [this] { return device_->try_call(device_->api().stream_query, stream_) != kNotReady; });
}

Heap::~Heap() {
  if (!copies_end()) return;  // they would go on in memory that is somebody else's
  if (stream_ != nullptr) device_->try_call(device_->api().stream_destroy, stream_);
  try {
    device_->quiet("DeviceError", "freeing memory", options_.grow_patience_ns, [this] { release_chunks(); });
  } catch (const Error&) {
    // A grid runs on. The driver would wait for it: the memory stays until the process ends.
  }
}

// Where pieces were abandoned, a grid may still use them.
void Heap::release_chunks() {
  const DriverApi& api = device_->api();
  if (device_arena_.used_bytes() == 0) {
    for (const DeviceAddress chunk : device_chunks_) device_->try_call(api.mem_free, chunk);
  }
  if (pinned_arena_.used_bytes() != 0) return;
  for (const PinnedChunk& chunk : pinned_chunks_) {
    device_->try_call(api.mem_free_host, reinterpret_cast<void*>(chunk.host));
  }
}

HeapUse Heap::use() const {
  const std::lock_guard lock(mutex_);
  return {device_arena_.total_bytes(), device_arena_.used_bytes(), pinned_arena_.total_bytes(),
          pinned_arena_.used_bytes(), growths_};
}

// -- copies -----------------------------------------------------------------------------------------------------------

void Heap::finish_copies(const std::string& doing) {
  Result result = kNotReady;
  const auto done = [this, &result] {
    result = device_->try_call(device_->api().stream_query, stream_);
    return result != kNotReady;
  };
  if (!poll_until(options_.copy_patience_ns, done)) {
    throw Error("DeviceError",
                doing + " did not end within " + std::to_string(options_.copy_patience_ns / 1'000'000'000) +
                    " s: the device does not answer (see `nvidia-smi` and the system log), or "
                    "copies share a queue with a kernel that stays (CUDA_DEVICE_MAX_CONNECTIONS below 32)");
  }
  device_->check(result, device_->api().stream_query.name, doing);
}

void Heap::zero(DeviceAddress address, std::size_t bytes) {
  const std::string doing = "zeroing device memory";
  const std::lock_guard lock(copying_);
  const auto* zeros = reinterpret_cast<const void*>(staging_.host);
  for (std::size_t at = 0; at < bytes; at += kStaging) {
    device_->call(doing, device_->api().memcpy_htod_async, address + at, zeros, std::min(kStaging, bytes - at),
                  stream_);
    if (at % kQueued == kQueued - kStaging) finish_copies(doing);  // patience is for this much
  }
  finish_copies(doing);
}

void Heap::write(DeviceAddress address, const void* from, std::size_t bytes) {
  const std::string doing = "copying to the device";
  const std::lock_guard lock(copying_);
  auto* buffer = reinterpret_cast<void*>(staging_.host + kStaging);
  finish_copies(doing);  // one that took too long may still use the buffer
  for (std::size_t at = 0; at < bytes; at += kStaging) {
    const std::size_t part = std::min(kStaging, bytes - at);
    std::memcpy(buffer, static_cast<const std::byte*>(from) + at, part);
    device_->call(doing, device_->api().memcpy_htod_async, address + at, buffer, part, stream_);
    finish_copies(doing);
  }
}

void Heap::read(void* to, DeviceAddress address, std::size_t bytes) {
  const std::string doing = "copying from the device";
  const std::lock_guard lock(copying_);
  auto* buffer = reinterpret_cast<void*>(staging_.host + kStaging);
  finish_copies(doing);
  for (std::size_t at = 0; at < bytes; at += kStaging) {
    const std::size_t part = std::min(kStaging, bytes - at);
    device_->call(doing, device_->api().memcpy_dtoh_async, buffer, address + at, part, stream_);
    finish_copies(doing);
    std::memcpy(static_cast<std::byte*>(to) + at, buffer, part);
  }
}

void Heap::run(FunctionHandle kernel, void** arguments, const std::string& doing) {
  const std::lock_guard lock(copying_);
  device_->call(doing, device_->api().launch_kernel, kernel, 1u, 1u, 1u, 1u, 1u, 1u, 0u, stream_, arguments, nullptr);
  finish_copies(doing);
}

}  // namespace rk::cuda
