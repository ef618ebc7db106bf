// Zeroed, page-aligned memory, and where it comes from.
#pragma once

#include <cstddef>
#include <memory>

namespace rk {

class MemorySource;

// One block; goes back to its source.
class Memory {
 public:
  Memory() = default;
  Memory(void* data, std::size_t bytes, MemorySource* source) : data_(data), bytes_(bytes), source_(source) {}
  ~Memory();
  Memory(Memory&& other) noexcept;
  Memory& operator=(Memory&& other) noexcept;

  template <class T = std::byte>
  T* data() const {
    return static_cast<T*>(data_);
  }
  std::size_t size() const { return bytes_; }

 private:
  void* data_ = nullptr;
  std::size_t bytes_ = 0;
  MemorySource* source_ = nullptr;
};

// A source must outlive its blocks: whoever may be the last to hold one keeps the source too, as lanes do.
class MemorySource {
 public:
  virtual ~MemorySource() = default;
  // Zeroed and aligned to at least 128 bytes. Throws std::bad_alloc.
  Memory allocate(std::size_t bytes);

 protected:
  virtual void* do_alloc(std::size_t bytes) = 0;  // nullptr when there is none
  virtual void do_free(void* data, std::size_t bytes) = 0;

 private:
  friend class Memory;
};

// Memory of this process; costs nothing until it is touched.
MemorySource& process_memory();
std::shared_ptr<MemorySource> shared_process_memory();

// Zeroed and aligned to 128 bytes; nullptr when there is none. Large blocks are pages, taken when touched; small ones
// come from the heap, because a process may map some tens of thousands of times only.
void* take_memory(std::size_t bytes);
void give_memory(void* data, std::size_t bytes);

// Bytes of memory in this machine. Address space is not memory: what is asked for is checked against this.
std::size_t physical_memory();

}  // namespace rk
