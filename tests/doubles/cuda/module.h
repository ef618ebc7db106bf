// Images of the NVRTC double, loaded.
//
// Protection: Library is constant. Function::max_dynamic is atomic. Module: its mutex.
#pragma once

#include <atomic>
#include <map>
#include <memory>
#include <mutex>
#include <string>
#include <vector>

#include "world.h"

namespace rk_double {

// Unloaded when the module and all its grids are gone.
class Library {
 public:
  // Null where it is no image of the double. `arch`: what it was compiled for, 0 where it does not say.
  static std::shared_ptr<Library> load(const void* image, int& arch);
  ~Library();
  void* find(const std::string& name) const;
  // A variable of the text, exported or not. Null: there is none.
  void* variable(const std::string& name, std::size_t& bytes) const;

 private:
  Library(void* handle, std::vector<unsigned char> image) : handle_(handle), image_(std::move(image)) {}
  void* handle_;
  std::vector<unsigned char> image_;
};

struct Function {
  std::shared_ptr<Library> library;
  Run run;
  int (*sizes)(int*);
  std::atomic<int> max_dynamic{static_cast<int>(kStaticShared)};
};

struct Module {
  std::shared_ptr<Library> library;
  std::mutex mutex;
  std::map<std::string, std::shared_ptr<Function>> functions;
};

// Null: it is of no module that is loaded.
std::shared_ptr<Function> function_of(void* handle);

}  // namespace rk_double
