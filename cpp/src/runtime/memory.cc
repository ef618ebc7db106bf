#include "ringkernel/runtime/memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

namespace rk {
namespace {

constexpr std::size_t kPagesFrom = 64 * 1024;

class ProcessMemory final : public MemorySource {
  void* do_alloc(std::size_t bytes) override { return take_memory(bytes); }
  void do_free(void* data, std::size_t bytes) override { give_memory(data, bytes); }
};

}  // namespace

Memory::~Memory() {
  if (data_ != nullptr) source_->do_free(data_, bytes_);
}

Memory::Memory(Memory&& other) noexcept
    : data_(std::exchange(other.data_, nullptr)), bytes_(std::exchange(other.bytes_, 0)), source_(other.source_) {}

Memory& Memory::operator=(Memory&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(bytes_, other.bytes_);
  std::swap(source_, other.source_);
  return *this;
}

Memory MemorySource::allocate(std::size_t bytes) {
  if (bytes == 0) return Memory{};
  void* data = do_alloc(bytes);
  if (data == nullptr) throw std::bad_alloc();
  return Memory(data, bytes, this);
}

MemorySource& process_memory() {
  static auto& source = *new ProcessMemory;  // never destroyed: abandoned threads may outlive static objects
  return source;
}

std::shared_ptr<MemorySource> shared_process_memory() { return {std::shared_ptr<void>(), &process_memory()}; }

void* take_memory(std::size_t bytes) {
  constexpr int kFlags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
  if (bytes < kPagesFrom) {
    constexpr std::size_t kAlign = 128;
    void* data = std::aligned_alloc(kAlign, (bytes + kAlign - 1) / kAlign * kAlign);
    return data != nullptr ? std::memset(data, 0, bytes) : nullptr;
  }
  void* data = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, kFlags, -1, 0);
  return data == MAP_FAILED ? nullptr : data;
}

void give_memory(void* data, std::size_t bytes) {
  if (bytes < kPagesFrom) {
    std::free(data);
  } else {
    munmap(data, bytes);
  }
}

std::size_t physical_memory() {
  return static_cast<std::size_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

}  // namespace rk
