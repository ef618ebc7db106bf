// A persistent kernel and a host thread that send each other messages through mapped memory, by the doubles: so that
// ThreadSanitizer sees both sides. Arguments: the two libraries. The text's races are found, or it says "done".
#include <dlfcn.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>

namespace {

using u64 = unsigned long long;

constexpr const char* kText = R"(
typedef unsigned long long u64;
RK_KERNEL(pong)(u64 address, u64 turns) {
  RK_SHARED(u64, seen);
  u64* words = reinterpret_cast<u64*>(address);  // 0: turn of the host, 8: turn of the device, 16: value
  for (u64 turn = 1; turn <= turns; ++turn) {
    if (threadIdx.x == 0) {
      while (LOAD(words) != turn) rk_nanosleep(100);
      seen = words[16];
    }
    __syncthreads();
    atomicAdd(words + 17, seen);
    __syncthreads();
    if (threadIdx.x == 0) {
      words[16] = seen + 1;
      rk_st_release_sys(words + 8, turn);
    }
  }
}
RK_EXPORT_KERNEL(pong)
)";

template <class F>
F* function(void* library, const char* name) {
  auto* found = reinterpret_cast<F*>(dlsym(library, name));
  if (found == nullptr) std::exit(std::printf("no %s\n", name));
  return found;
}
template <class F, class... A>
void call(void* library, const char* name, A... arguments) {
  if (const int result = function<F>(library, name)(arguments...)) std::exit(std::printf("%s: %d\n", name, result));
}

std::string image_of(void* nvrtc, const std::string& text) {
  void* program = nullptr;
  const char* options[] = {"--std=c++17", "-arch=sm_90"};
  call<int(void**, const char*, const char*, int, const char**, const char**)>(
      nvrtc, "nvrtcCreateProgram", &program, text.c_str(), "pong.cu", 0, nullptr, nullptr);
  call<int(void*, int, const char**)>(nvrtc, "nvrtcCompileProgram", program, 2, options);
  std::size_t size = 0;
  call<int(void*, std::size_t*)>(nvrtc, "nvrtcGetCUBINSize", program, &size);
  std::string image(size, '\0');
  call<int(void*, char*)>(nvrtc, "nvrtcGetCUBIN", program, image.data());
  call<int(void**)>(nvrtc, "nvrtcDestroyProgram", &program);
  return image;
}

}  // namespace

int main(int count, char** arguments) {
  if (count < 4) return std::printf("cuda.so nvrtc.so rk_ld_acquire_sys\n");
  void* cuda = dlopen(arguments[1], RTLD_NOW);
  void* nvrtc = dlopen(arguments[2], RTLD_NOW);
  if (cuda == nullptr || nvrtc == nullptr) return std::printf("%s\n", dlerror());
  const std::string image = image_of(nvrtc, std::string("#define LOAD ") + arguments[3] + "\n" + kText);
  void *context = nullptr, *module = nullptr, *kernel = nullptr, *stream = nullptr, *memory = nullptr;
  call<int(unsigned)>(cuda, "cuInit", 0u);
  call<int(void**, int)>(cuda, "cuDevicePrimaryCtxRetain", &context, 0);
  call<int(void*)>(cuda, "cuCtxSetCurrent", context);
  call<int(void**, const void*)>(cuda, "cuModuleLoadData", &module, image.data());
  call<int(void**, void*, const char*)>(cuda, "cuModuleGetFunction", &kernel, module, "pong");
  call<int(void**, std::size_t, unsigned)>(cuda, "cuMemHostAlloc", &memory, std::size_t{4096}, 3u);
  std::memset(memory, 0, 4096);
  call<int(void**, unsigned)>(cuda, "cuStreamCreate", &stream, 1u);
  u64 turns = 300;
  void* values[] = {&memory, &turns};
  call<int(void*, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, unsigned, void*, void**)>(
      cuda, "cuLaunchCooperativeKernel", kernel, 1u, 1u, 1u, 4u, 1u, 1u, 0u, stream, values);
  auto* words = static_cast<u64*>(memory);
  u64 expected = 0;
  for (u64 turn = 1; turn <= turns; ++turn) {
    words[16] = turn;
    expected += 4 * turn;
    __atomic_store_n(words, turn, __ATOMIC_RELEASE);
    while (__atomic_load_n(words + 8, __ATOMIC_ACQUIRE) != turn) {
    }
    if (words[16] != turn + 1) return std::printf("turn %llu: %llu\n", turn, words[16]);
  }
  call<int(void*)>(cuda, "cuStreamSynchronize", stream);
  if (words[17] != expected) return std::printf("sum %llu, not %llu\n", words[17], expected);
  return std::printf("done\n") < 0;
}
