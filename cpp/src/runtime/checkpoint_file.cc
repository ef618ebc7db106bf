// A file that is always whole. The steps are the usual ones: write beside it, sync, rename over it, sync the directory.
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <system_error>
#include <utility>

#include "ringkernel/runtime/checkpoint.h"

namespace rk {
namespace {

[[noreturn]] void fail(int error, const std::string& path) {
  throw std::system_error(error, std::generic_category(), path);
}

class Descriptor {
 public:
  Descriptor(int fd, const std::string& path) : fd_(fd) {
    if (fd < 0) fail(errno, path);
  }
  ~Descriptor() {
    if (fd_ >= 0) ::close(fd_);
  }
  Descriptor(const Descriptor&) = delete;
  Descriptor& operator=(const Descriptor&) = delete;

  int get() const { return fd_; }
  // NFS reports a full disk or quota only here. After EINTR the descriptor is gone all the same (Linux).
  void close(const std::string& path) {
    const int fd = fd_;
    fd_ = -1;
    if (::close(fd) != 0 && errno != EINTR) fail(errno, path);
  }

 private:
  int fd_;
};

void write_all(int fd, std::span<const std::byte> bytes, const std::string& path) {
  while (!bytes.empty()) {
    const ssize_t n = ::write(fd, bytes.data(), bytes.size());
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail(n < 0 ? errno : EIO, path);
    bytes = bytes.subspan(static_cast<std::size_t>(n));
  }
}

void sync(int fd, const std::string& path) {
  int result;
  do {
    result = ::fsync(fd);
  } while (result != 0 && errno == EINTR);
  if (result != 0) fail(errno, path);
}

// A new file in the directory, removed again unless it was renamed. Its name does not grow with the name of the target,
// so every name that can be a file's can be saved to.
class Temporary {
 public:
  Temporary(int directory, const std::string& path) : directory_(directory), file_(open_new(directory, &name_), path) {}
  ~Temporary() {
    if (!name_.empty()) ::unlinkat(directory_, name_.c_str(), 0);
  }
  Temporary(const Temporary&) = delete;
  Temporary& operator=(const Temporary&) = delete;

  Descriptor& file() { return file_; }
  void rename_to(const std::string& base, const std::string& path) {
    if (::renameat(directory_, name_.c_str(), directory_, base.c_str()) != 0) fail(errno, path);
    name_.clear();
  }

 private:
  // Names that exist belong to another thread, or were left by a killed process with the same id.
  static int open_new(int directory, std::string* name) {
    for (int n = 0;; ++n) {
      std::string wish = ".ringkernel-" + std::to_string(::getpid()) + "-" + std::to_string(n) + ".tmp";
      const int fd = ::openat(directory, wish.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
      if (fd >= 0) *name = std::move(wish);
      if (fd >= 0 || (errno != EEXIST && errno != EINTR)) return fd;
    }
  }

  int directory_;
  std::string name_;
  Descriptor file_;
};

void refuse_nul(const std::string& path) {
  if (path.empty()) fail(ENOENT, path);
  if (path.find('\0') != std::string::npos) fail(EINVAL, path.c_str());
}

}  // namespace

void save_atomically(const std::string& path, std::span<const std::byte> bytes) {
  refuse_nul(path);
  const std::size_t slash = path.rfind('/');
  const std::string folder = slash == std::string::npos ? "." : path.substr(0, slash + 1);
  const std::string base = slash == std::string::npos ? path : path.substr(slash + 1);
  if (base.empty()) fail(EISDIR, path);

  // Opened once: the directory may be moved meanwhile, and cannot fail to open after the rename.
  const Descriptor directory(::open(folder.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC), path);
  Temporary temporary(directory.get(), path);
  write_all(temporary.file().get(), bytes, path);
  sync(temporary.file().get(), path);
  temporary.file().close(path);
  temporary.rename_to(base, path);
  sync(directory.get(), path);
}

std::vector<std::byte> load_file(const std::string& path) {
  refuse_nul(path);
  // O_NONBLOCK: opening a pipe would wait for a writer. It changes nothing for regular files.
  const Descriptor file(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK), path);
  struct stat info;
  if (::fstat(file.get(), &info) != 0) fail(errno, path);
  if (S_ISDIR(info.st_mode)) fail(EISDIR, path);
  if (!S_ISREG(info.st_mode)) fail(EINVAL, path);

  std::vector<std::byte> bytes(static_cast<std::size_t>(info.st_size) + 1);  // one more: to see the end in one read
  std::size_t used = 0;
  for (;;) {
    if (used == bytes.size()) bytes.resize(2 * used);  // it grows while it is read
    const ssize_t n = ::read(file.get(), bytes.data() + used, bytes.size() - used);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) fail(errno, path);
    if (n == 0) break;
    used += static_cast<std::size_t>(n);
  }
  bytes.resize(used);
  return bytes;
}

}  // namespace rk
