// Memory of a device, and memory of the host that the device sees, in pieces of chunks that are reserved up front.
//
// The driver may wait for resident grids when it reserves or frees, so this happens when the heap is made, and later
// only in Device::quiet(). Pieces that come back stay in their chunk; chunks go back with the heap.
//
// Copies use the copy engines, on a stream of the highest priority: they need no room beside resident grids, and share
// no queue with them. For the same reason memory is zeroed by copying zeros, not by a kernel.
//
// Protection: device_, options_, stream_, staging_: constant after init; what is in the staging buffer and the stream:
// copying_. Arenas, chunks, growths_: mutex_. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "arena.h"
#include "device.h"

namespace rk::cuda {

class Heap;

// A piece of device memory. Goes back to its heap.
class DeviceMemory {
 public:
  DeviceMemory() = default;
  DeviceMemory(DeviceMemory&& other) noexcept { swap(other); }
  DeviceMemory& operator=(DeviceMemory&& other) noexcept {
    swap(other);
    return *this;
  }
  ~DeviceMemory();

  DeviceAddress address() const { return address_; }
  std::size_t size() const { return bytes_; }
  // A grid that does not leave may still use it: it never goes back.
  void abandon() { heap_.reset(); }

 private:
  friend class Heap;
  void swap(DeviceMemory& other) noexcept;

  std::shared_ptr<Heap> heap_;
  DeviceAddress address_ = 0;
  std::size_t bytes_ = 0;
};

// A piece of host memory that is pinned and mapped.
class PinnedMemory {
 public:
  PinnedMemory() = default;
  PinnedMemory(PinnedMemory&& other) noexcept { swap(other); }
  PinnedMemory& operator=(PinnedMemory&& other) noexcept {
    swap(other);
    return *this;
  }
  ~PinnedMemory();

  template <class T = std::byte>
  T* data() const {
    return reinterpret_cast<T*>(host_);
  }
  DeviceAddress address() const { return address_; }  // as the device sees it
  std::size_t size() const { return bytes_; }
  void abandon() { heap_.reset(); }

 private:
  friend class Heap;
  void swap(PinnedMemory& other) noexcept;

  std::shared_ptr<Heap> heap_;
  std::uintptr_t host_ = 0;
  DeviceAddress address_ = 0;
  std::size_t bytes_ = 0;
};

struct HeapOptions {
  std::size_t device_chunk = std::size_t{64} << 20;
  std::size_t pinned_chunk = std::size_t{16} << 20;
  std::uint64_t grow_patience_ns = 5'000'000'000;   // for grids to leave
  std::uint64_t copy_patience_ns = 10'000'000'000;  // for one copy
};

struct HeapUse {
  std::uint64_t device_total, device_used, pinned_total, pinned_used;
  std::uint32_t growths;  // chunks that were reserved after the first ones
};

class Heap : public std::enable_shared_from_this<Heap> {
 public:
  // Reserves the first chunks. Throws DeviceMemoryError and whatever Device::call() throws.
  static std::shared_ptr<Heap> make(std::shared_ptr<Device> device, HeapOptions options = {});
  ~Heap();

  // Zeroed, aligned to 256 bytes. Throw DeviceMemoryError.
  DeviceMemory device_memory(std::size_t bytes);
  PinnedMemory pinned_memory(std::size_t bytes);
  // The same where there is room without more chunks; empty where there is none. Does not wait for grids.
  DeviceMemory device_memory_at_hand(std::size_t bytes);
  // That so much is at hand now.
  void have_at_hand(std::size_t bytes) { give(Kind::kDevice, take(Kind::kDevice, bytes), bytes); }

  // Return when it is done; throw DeviceError when that takes longer than the patience.
  void zero(DeviceAddress address, std::size_t bytes);
  void write(DeviceAddress address, const void* from, std::size_t bytes);
  void read(void* to, DeviceAddress address, std::size_t bytes);

  // Runs a kernel of one thread, and returns when it is over. Only in Device::quiet(), where there is room for it.
  void run(FunctionHandle kernel, void** arguments, const std::string& doing);

  Device& device() { return *device_; }
  const std::shared_ptr<Device>& shared_device() { return device_; }
  HeapUse use() const;

 private:
  struct PinnedChunk {
    std::uintptr_t host;
    DeviceAddress address;
    std::uint64_t bytes;
  };
  friend class DeviceMemory;
  friend class PinnedMemory;

  enum class Kind { kDevice, kPinned };

  Heap(std::shared_ptr<Device> device, HeapOptions options) : device_(std::move(device)), options_(options) {}
  void start();
  void release_chunks();
  std::uint64_t take(Kind kind, std::size_t bytes);
  void give(Kind kind, std::uint64_t address, std::size_t bytes);
  Arena& arena(Kind kind) { return kind == Kind::kDevice ? device_arena_ : pinned_arena_; }
  void grow(Kind kind, std::size_t bytes);
  Result reserve(Kind kind, std::size_t bytes);  // one chunk
  PinnedChunk reserve_pinned(std::size_t bytes, Result& result);
  DeviceAddress address_of(std::uintptr_t host) const;
  [[noreturn]] void refuse(Kind kind, std::size_t bytes, Result result) const;
  bool copies_end();
  void finish_copies(const std::string& doing);

  const std::shared_ptr<Device> device_;
  const HeapOptions options_;
  StreamHandle stream_ = nullptr;
  PinnedChunk staging_{};  // kStaging zeros, then kStaging bytes on their way

  mutable std::mutex mutex_;
  Arena device_arena_, pinned_arena_;  // the latter by host address
  std::vector<DeviceAddress> device_chunks_;
  std::vector<PinnedChunk> pinned_chunks_;
  std::uint32_t growths_ = 0;
  std::mutex copying_;
};

}  // namespace rk::cuda
