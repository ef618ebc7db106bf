// A double of libcuda.so.1: memory. Addresses of the device are pointers of the process.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "stream.h"
#include "world.h"

namespace rk = rk_double;
using rk::Result;
using rk::world;

namespace {

using Address = std::uintptr_t;

Result take_memory(std::size_t bytes, bool host, Address* out) {
  if (bytes == 0 || out == nullptr) return rk::kInvalidValue;
  rk::World& w = world();
  rk::Device& device = *rk::current_device;
  const std::lock_guard lock(w.mutex);
  if (!host && bytes > w.config.memory - device.memory) return rk::kOutOfMemory;
  void* made = nullptr;
  if (posix_memalign(&made, 4096, bytes) != 0) return rk::kOutOfMemory;
  std::memset(made, 0xCD, std::min<std::size_t>(bytes, 1 << 20));  // nobody may count on zeros
  *out = reinterpret_cast<Address>(made);
  w.memory[*out] = {bytes, &device, host};
  if (!host) device.memory += bytes;
  ++w.living[host ? "host_memory" : "memory"];
  return rk::kOk;
}

Result give_memory(Address address, bool host) {
  rk::World& w = world();
  if (w.config.sync) rk::current_device->wait_without_grids();
  const std::lock_guard lock(w.mutex);
  const auto found = w.memory.find(address);
  if (found == w.memory.end() || found->second.host != host) return rk::kInvalidValue;
  if (!host) found->second.device->memory -= found->second.bytes;
  w.memory.erase(found);
  --w.living[host ? "host_memory" : "memory"];
  std::free(reinterpret_cast<void*>(address));
  return rk::kOk;
}

// All of it lies in one piece that is in use.
bool inside(Address address, std::size_t bytes) {
  const std::lock_guard lock(world().mutex);
  const auto* piece = world().piece_at(address);
  return piece != nullptr && bytes <= piece->first + piece->second.bytes - address;
}

template <class F>
Result enqueue(void* handle, bool wait, F work) {
  const auto stream = rk::stream_of(handle);
  if (stream == nullptr) return rk::kInvalidHandle;
  stream->push(work);
  if (wait) stream->wait();
  return wait ? rk::current_device->sticky() : rk::kOk;
}

Result copy(void* to, const void* from, std::size_t bytes, Address checked, void* stream, bool wait) {
  if (bytes == 0) return rk::kOk;
  if (!inside(checked, bytes)) return rk::kInvalidValue;
  return enqueue(stream, wait, [=] { std::memcpy(to, from, bytes); });
}

Result fill(Address to, unsigned char value, std::size_t bytes, void* stream, bool wait) {
  if (bytes == 0) return rk::kOk;
  if (!inside(to, bytes)) return rk::kInvalidValue;
  return enqueue(stream, wait, [=] { std::memset(reinterpret_cast<void*>(to), value, bytes); });
}

void* pointer(Address address) { return reinterpret_cast<void*>(address); }

}  // namespace

RK_API Result cuMemHostAlloc(void** memory, std::size_t bytes, unsigned) {
  RK_ENTER(cuMemHostAlloc, kContext);
  return take_memory(bytes, true, reinterpret_cast<Address*>(memory));
}
RK_API Result cuMemHostGetDevicePointer_v2(Address* address, void* memory, unsigned) {
  RK_ENTER(cuMemHostGetDevicePointer_v2, kContext);
  if (!inside(reinterpret_cast<Address>(memory), 1)) return rk::kInvalidValue;
  *address = reinterpret_cast<Address>(memory);
  return rk::kOk;
}
RK_API Result cuMemFreeHost(void* memory) {
  RK_ENTER(cuMemFreeHost, kContext);
  return give_memory(reinterpret_cast<Address>(memory), true);
}
RK_API Result cuMemAlloc_v2(Address* address, std::size_t bytes) {
  RK_ENTER(cuMemAlloc_v2, kContext);
  return take_memory(bytes, false, address);
}
RK_API Result cuMemFree_v2(Address address) {
  RK_ENTER(cuMemFree_v2, kContext);
  return address == 0 ? rk::kOk : give_memory(address, false);
}
RK_API Result cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
  RK_ENTER(cuMemGetInfo_v2, kContext);
  const std::lock_guard lock(world().mutex);
  *total = world().config.memory;
  *free = *total - rk::current_device->memory;
  return rk::kOk;
}

RK_API Result cuMemsetD8_v2(Address to, unsigned char value, std::size_t bytes) {
  RK_ENTER(cuMemsetD8_v2, kContext);
  return fill(to, value, bytes, nullptr, true);
}
RK_API Result cuMemsetD8Async(Address to, unsigned char value, std::size_t bytes, void* stream) {
  RK_ENTER(cuMemsetD8Async, kContext);
  return fill(to, value, bytes, stream, false);
}
RK_API Result cuMemcpyHtoD_v2(Address to, const void* from, std::size_t bytes) {
  RK_ENTER(cuMemcpyHtoD_v2, kContext);
  return copy(pointer(to), from, bytes, to, nullptr, true);
}
RK_API Result cuMemcpyDtoH_v2(void* to, Address from, std::size_t bytes) {
  RK_ENTER(cuMemcpyDtoH_v2, kContext);
  return copy(to, pointer(from), bytes, from, nullptr, true);
}
RK_API Result cuMemcpyHtoDAsync_v2(Address to, const void* from, std::size_t bytes, void* stream) {
  RK_ENTER(cuMemcpyHtoDAsync_v2, kContext);
  return copy(pointer(to), from, bytes, to, stream, false);
}
RK_API Result cuMemcpyDtoHAsync_v2(void* to, Address from, std::size_t bytes, void* stream) {
  RK_ENTER(cuMemcpyDtoHAsync_v2, kContext);
  return copy(to, pointer(from), bytes, from, stream, false);
}
RK_API Result cuMemcpyDtoDAsync_v2(Address to, Address from, std::size_t bytes, void* stream) {
  RK_ENTER(cuMemcpyDtoDAsync_v2, kContext);
  if (bytes != 0 && !inside(from, bytes)) return rk::kInvalidValue;
  return copy(pointer(to), pointer(from), bytes, to, stream, false);
}

// By the numbers of CUpointer_attribute. Memory that the double has not handed out is no memory of CUDA.
RK_API Result cuPointerGetAttribute(void* out, int attribute, Address address) {
  RK_ENTER(cuPointerGetAttribute, kContext);
  const std::lock_guard lock(world().mutex);
  const auto* found = world().piece_at(address);
  if (found == nullptr) return rk::kInvalidValue;
  const auto& [base, piece] = *found;
  switch (attribute) {
    case 1:
      *static_cast<void**>(out) = piece.device;
      return rk::kOk;
    case 2:
      *static_cast<unsigned*>(out) = piece.host ? 1 : 2;
      return rk::kOk;
    case 3:
      *static_cast<Address*>(out) = address;
      return rk::kOk;
    case 4:
      if (!piece.host) return rk::kInvalidValue;
      *static_cast<Address*>(out) = address;
      return rk::kOk;
    case 8:
      *static_cast<unsigned*>(out) = 0;
      return rk::kOk;  // managed
    case 9:
      *static_cast<int*>(out) = piece.device->index;
      return rk::kOk;
    case 11:
      *static_cast<Address*>(out) = base;
      return rk::kOk;
    case 12:
      *static_cast<std::size_t*>(out) = piece.bytes;
      return rk::kOk;
    case 13:
      *static_cast<unsigned*>(out) = 1;
      return rk::kOk;  // mapped
    default:
      return rk::kInvalidValue;
  }
}
