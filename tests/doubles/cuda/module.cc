#include "module.h"

#include <dlfcn.h>
#include <elf.h>
#include <link.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>

namespace rk_double {
namespace {

// What is behind the section headers of an ELF file is not of it.
std::vector<unsigned char> whole_file(const void* image) {
  ElfW(Ehdr) head;
  std::memcpy(&head, image, sizeof(head));
  const auto* bytes = static_cast<const unsigned char*>(image);
  return {bytes, bytes + head.e_shoff + std::size_t{head.e_shentsize} * head.e_shnum};
}

bool write_all(int file, const std::vector<unsigned char>& image) {
  for (std::size_t done = 0; done < image.size();) {
    const ssize_t written = write(file, image.data() + done, image.size() - done);
    if (written <= 0) return false;
    done += static_cast<std::size_t>(written);
  }
  return true;
}

// The loader knows libraries by their paths, and file numbers come again: each load spells its path in its own way.
std::string path_of(int file) {
  static std::atomic<unsigned> loads{0};
  std::string path = "/proc/self";
  for (unsigned n = ++loads; n != 0; n /= 2) path += n % 2 != 0 ? "/." : "//.";
  return path + "/fd/" + std::to_string(file);
}

}  // namespace

std::shared_ptr<Library> Library::load(const void* image, int& arch) {
  if (image == nullptr || std::memcmp(image, ELFMAG, SELFMAG) != 0) return nullptr;
  std::vector<unsigned char> bytes = whole_file(image);
  const int file = memfd_create("rk_double_kernel", MFD_CLOEXEC);
  void* handle = write_all(file, bytes) ? dlopen(path_of(file).c_str(), RTLD_NOW | RTLD_LOCAL) : nullptr;
  close(file);
  if (handle == nullptr) {
    const char* why = dlerror();
    std::fprintf(stderr, "CUDA double: %s\n", why != nullptr ? why : "an image cannot be written");
    return nullptr;
  }
  std::shared_ptr<Library> made(new Library(handle, std::move(bytes)));
  auto* bind = reinterpret_cast<void (*)(const Table*)>(made->find("rk_double_bind"));
  if (bind == nullptr) return nullptr;
  bind(&kTable);
  auto* arch_of = reinterpret_cast<int (*)()>(made->find("rk_double_arch"));
  arch = arch_of != nullptr ? arch_of() : 0;
  return made;
}

Library::~Library() { dlclose(handle_); }

void* Library::find(const std::string& name) const { return dlsym(handle_, name.c_str()); }

void* Library::variable(const std::string& name, std::size_t& bytes) const {
  ElfW(Ehdr) head;
  std::memcpy(&head, image_.data(), sizeof(head));
  const auto section = [&](std::size_t n) {
    ElfW(Shdr) one;
    std::memcpy(&one, image_.data() + head.e_shoff + n * head.e_shentsize, sizeof(one));
    return one;
  };
  link_map* map = nullptr;
  dlinfo(handle_, RTLD_DI_LINKMAP, &map);
  for (std::size_t n = 0; n < head.e_shnum; ++n) {
    const ElfW(Shdr) symbols = section(n);
    if (symbols.sh_type != SHT_SYMTAB) continue;
    const char* names = reinterpret_cast<const char*>(image_.data() + section(symbols.sh_link).sh_offset);
    for (std::size_t at = 0; at + sizeof(ElfW(Sym)) <= symbols.sh_size; at += sizeof(ElfW(Sym))) {
      ElfW(Sym) one;
      std::memcpy(&one, image_.data() + symbols.sh_offset + at, sizeof(one));
      if (ELF64_ST_TYPE(one.st_info) != STT_OBJECT || name != names + one.st_name) continue;
      bytes = one.st_size;
      return reinterpret_cast<void*>(map->l_addr + one.st_value);
    }
  }
  return nullptr;
}

}  // namespace rk_double
