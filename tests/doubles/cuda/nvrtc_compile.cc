// Protection: nothing here has a state. A result in the cache appears whole, and is made by one process at a time.
#include "nvrtc_compile.h"

#include <fcntl.h>
#include <spawn.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

extern char** environ;

namespace rk_double {
namespace {

namespace fs = std::filesystem;
using Words = std::vector<std::string>;

std::string setting(const char* name, const char* otherwise) {
  const char* text = std::getenv(name);
  return text != nullptr && *text != 0 ? text : otherwise;
}

Words words_of(const std::string& text) {
  std::istringstream stream(text);
  Words words;
  for (std::string word; stream >> word;) words.push_back(word);
  return words;
}

std::string content(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream all;
  all << file.rdbuf();
  return all.str();
}

// FNV-1a (public domain), twice, the second one with a step of its own.
std::string hash_of(const std::string& text) {
  std::uint64_t a = 0xCBF29CE484222325u, b = 0x84222325CBF29CE4u;
  for (const char c : text) {
    a = (a ^ static_cast<unsigned char>(c)) * 0x100000001B3u;
    b = ((b ^ static_cast<unsigned char>(c)) * 0x100000001B3u) ^ (b >> 29);
  }
  char out[40];
  std::snprintf(out, sizeof(out), "%016llx%016llx", static_cast<unsigned long long>(a),
                static_cast<unsigned long long>(b));
  return out;
}

Words command(const Words& options) {
  Words all = words_of(setting("CXX", "g++"));
  for (const char* one :
       {"-x", "c++", "-O1", "-fPIC", "-shared", "-pipe", "-w", "-ffp-contract=off", "-fvisibility=hidden",
        "-fno-strict-aliasing", "-fno-diagnostics-show-caret", "-fdiagnostics-color=never", "-fmessage-length=0"}) {
    all.emplace_back(one);
  }
  for (const std::string& one : words_of(setting("RK_DOUBLE_FLAGS", ""))) all.push_back(one);
  all.insert(all.end(), options.begin(), options.end());
  const std::string shim = setting("RK_DOUBLE_SHIM", ".");
  all.insert(all.end(), {"-I" + shim, "-include", "device_shim.h"});
  return all;
}

// 0 when it went well. What it says, also about itself, is in the file `log`.
int run(const Words& words, const std::string& log) {
  std::vector<char*> arguments;
  for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  std::vector<char*> variables{const_cast<char*>("LC_ALL=C")};  // plain quotes in messages
  for (char** one = environ; *one != nullptr; ++one) {
    const std::string text = *one;
    if (text.rfind("LC_ALL=", 0) != 0 && text.rfind("LD_PRELOAD=", 0) != 0) variables.push_back(*one);
  }
  variables.push_back(nullptr);
  posix_spawn_file_actions_t files;
  posix_spawn_file_actions_init(&files);
  posix_spawn_file_actions_addopen(&files, 1, log.c_str(), O_WRONLY | O_CREAT | O_TRUNC, 0600);
  posix_spawn_file_actions_adddup2(&files, 1, 2);
  pid_t child = 0;
  const int failed = posix_spawnp(&child, arguments[0], &files, nullptr, arguments.data(), variables.data());
  posix_spawn_file_actions_destroy(&files);
  if (failed != 0) {
    std::ofstream(log) << "nvrtc double: " << words[0] << " cannot be run\n";
    return failed;
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return status;
}

// Takes ":number" from the end of a text.
std::string number_at_end(std::string& text) {
  const std::size_t colon = text.rfind(':');
  if (colon == std::string::npos || colon + 1 == text.size()) return {};
  if (text.find_first_not_of("0123456789", colon + 1) != std::string::npos) return {};
  std::string number = text.substr(colon + 1);
  text.resize(colon);
  return number;
}

struct Said {
  std::string file, line, severity, text;
};

bool take_apart(const std::string& said, Said& out) {
  for (const char* severity : {"fatal error", "error", "warning", "note"}) {
    const std::string mark = std::string(": ").append(severity).append(": ");
    const std::size_t at = said.find(mark);
    if (at == std::string::npos) continue;
    out = {said.substr(0, at), {}, severity, said.substr(at + mark.size())};
    out.line = number_at_end(out.file);  // perhaps the column
    const std::string before = number_at_end(out.file);
    if (!before.empty()) out.line = before;
    if (!out.line.empty()) return true;
  }
  return false;
}

// file:line:column: error: text -> file(line): error: text; and the line with their number.
std::string as_nvrtc(const std::string& log, const std::string& name) {
  std::istringstream lines(log);
  std::string out;
  int errors = 0;
  bool ours = false;
  for (std::string line; std::getline(lines, line);) {
    Said said;
    if (take_apart(line, said)) {
      const bool fatal = said.severity == "fatal error";
      errors += fatal || said.severity == "error" ? 1 : 0;
      out += said.file + "(" + said.line + "): " + (fatal ? "catastrophic error" : said.severity) + ": " + said.text +
             "\n\n";
      ours = true;
    } else if (line.rfind("nvrtc double: ", 0) == 0 || (!ours && line.find("error") != std::string::npos)) {
      out += line + "\n";
    }
  }
  if (errors == 0) return out.empty() ? log : out;
  const char* end = errors == 1 ? " error" : " errors";
  return out + std::to_string(errors) + end + " detected in the compilation of \"" + name + "\".\n";
}

bool has_f16(const Program& program) {
  bool found = program.text.find("struct f16") != std::string::npos;
  for (const auto& [name, text] : program.headers) found = found || text.find("struct f16") != std::string::npos;
  return found;
}

void write_sources(const Program& program, const fs::path& folder) {
  for (const auto& [name, text] : program.headers) {
    fs::create_directories((folder / name).parent_path());
    std::ofstream(folder / name) << text;
  }
  std::ofstream text(folder / "text.cu");
  text << "#line 1 \"" << program.name << "\"\n" << program.text << "\n";
  if (has_f16(program)) text << "#line 1 \"double\"\n#include \"device_shim_tail.h\"\n";
}

// Headers have the names that they were given with.
std::string without(std::string log, const std::string& folder) {
  for (std::size_t at; (at = log.find(folder)) != std::string::npos;) log.erase(at, folder.size());
  return log;
}

bool compile_in(Program& program, const Words& options, const fs::path& folder) {
  write_sources(program, folder);
  Words words = command(options);
  words.insert(words.end(), {"-I" + folder.string(), (folder / "text.cu").string(), "-o", (folder / "out").string()});
  const bool made = run(words, (folder / "log").string()) == 0;
  program.log = made ? "" : without(as_nvrtc(content(folder / "log"), program.name), folder.string() + "/");
  if (made) program.image = content(folder / "out");
  return made;
}

bool compile_now(Program& program, const Words& options) {
  std::string folder = (fs::temp_directory_path() / "rk_double_XXXXXX").string();
  if (mkdtemp(folder.data()) == nullptr) return false;
  const bool made = compile_in(program, options, folder);
  std::error_code ignored;
  fs::remove_all(folder, ignored);
  return made;
}

// Of a result that others may be making.
class KeyLock {
 public:
  explicit KeyLock(const fs::path& path) : file_(open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600)) {
    while (file_ >= 0 && flock(file_, LOCK_EX) != 0 && errno == EINTR) {
    }
  }
  ~KeyLock() { close(file_); }
  KeyLock(const KeyLock&) = delete;
  KeyLock& operator=(const KeyLock&) = delete;

 private:
  const int file_;
};

std::string key_of(const Program& program, const Words& options) {
  const fs::path shim = setting("RK_DOUBLE_SHIM", ".");
  std::string all = program.name + '\0' + program.text + content(shim / "device_shim.h");
  all += content(shim / "device_shim_tail.h");
  for (const std::string& word : command(options)) all += '\0' + word;
  for (const auto& [name, text] : program.headers) all += '\0' + name + '\0' + text;
  return hash_of(all);
}

}  // namespace

bool compile(Program& program, const Words& options) {
  const fs::path cache = setting("RK_DOUBLE_CACHE", "");
  if (cache.empty()) return compile_now(program, options);
  std::error_code ignored;
  fs::create_directories(cache, ignored);
  const std::string key = key_of(program, options);
  const fs::path kept = cache / (key + ".so");
  const KeyLock lock(cache / (key.substr(0, 2) + ".lock"));
  program.image = content(kept);
  if (!program.image.empty()) return true;
  if (!compile_now(program, options)) return false;
  const fs::path partial = cache / (key + ".new");
  std::ofstream(partial, std::ios::binary) << program.image;
  fs::rename(partial, kept, ignored);
  return true;
}

}  // namespace rk_double
