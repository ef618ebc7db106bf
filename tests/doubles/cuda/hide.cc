// Takes entry points out of this library's own table of symbols, so that it looks like a driver that has not got them.
#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>

#include "world.h"

namespace rk_double {

void* own_library() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<void*>(&own_library), &info) == 0) return nullptr;
  return dlopen(info.dli_fname, RTLD_NOW | RTLD_NOLOAD);
}

namespace {

void hide(void* address) {
  Dl_info info{};
  void* found = nullptr;
  if (address == nullptr || dladdr1(address, &info, &found, RTLD_DL_SYMENT) == 0 || found == nullptr) return;
  auto* symbol = static_cast<ElfW(Sym)*>(found);
  const auto page_size = static_cast<std::uintptr_t>(sysconf(_SC_PAGESIZE));
  const std::uintptr_t from = reinterpret_cast<std::uintptr_t>(symbol) / page_size * page_size;
  const std::uintptr_t length = reinterpret_cast<std::uintptr_t>(symbol + 1) - from;
  if (mprotect(reinterpret_cast<void*>(from), length, PROT_READ | PROT_WRITE) != 0) return;
  symbol->st_value = 0;
  symbol->st_shndx = SHN_UNDEF;
  mprotect(reinterpret_cast<void*>(from), length, PROT_READ);
}

// Before the one who opens the library can ask for a symbol.
__attribute__((constructor)) void hide_listed() {
  const std::vector<std::string> names = listed("RK_DOUBLE_HIDE");
  void* self = names.empty() ? nullptr : own_library();
  if (self == nullptr) return;
  for (const std::string& name : names) hide(dlsym(self, name.c_str()));
  dlclose(self);
}

}  // namespace
}  // namespace rk_double
