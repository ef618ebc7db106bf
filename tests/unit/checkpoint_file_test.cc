#include <fcntl.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <system_error>

#include "ringkernel/runtime/checkpoint.h"

namespace rk {
namespace {

namespace fs = std::filesystem;
using Bytes = std::vector<std::byte>;

class CheckpointFileTest : public testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = (fs::temp_directory_path() / "rk-checkpoint-XXXXXX").string();
    ASSERT_NE(mkdtemp(pattern.data()), nullptr);
    folder_ = pattern;
  }
  void TearDown() override { fs::remove_all(folder_); }

  std::string path(const char* name = "a.ckpt") const { return (folder_ / name).string(); }
  std::size_t files() const {
    return static_cast<std::size_t>(std::distance(fs::directory_iterator(folder_), fs::directory_iterator()));
  }

  // 0: it worked; else errno. The text must name the path.
  template <class Action>
  static int error_of(Action action, const std::string& path) {
    try {
      action();
    } catch (const std::system_error& error) {
      EXPECT_NE(std::string(error.what()).find(path), std::string::npos) << error.what();
      return error.code().value();
    }
    return 0;
  }
  static int save_error(const std::string& path, const Bytes& bytes) {
    return error_of([&] { save_atomically(path, bytes); }, path);
  }
  static int load_error(const std::string& path) {
    return error_of([&] { load_file(path); }, path);
  }

  fs::path folder_;
};

Bytes filled(std::size_t size, unsigned with) { return Bytes(size, static_cast<std::byte>(with)); }

// A file may not grow beyond `bytes` while this lives: the nearest thing to a full disk that needs no mount.
class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes) {
    getrlimit(RLIMIT_FSIZE, &before_);
    rlimit small = before_;
    small.rlim_cur = bytes;
    old_handler_ = signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &small);
  }
  ~FullDisk() {
    setrlimit(RLIMIT_FSIZE, &before_);
    signal(SIGXFSZ, old_handler_);
  }

 private:
  rlimit before_{};
  void (*old_handler_)(int) = nullptr;
};

TEST_F(CheckpointFileTest, what_was_saved_is_loaded) {
  for (std::size_t size : {std::size_t{0}, std::size_t{1}, std::size_t{4096}, std::size_t{5'000'000}}) {
    save_atomically(path(), filled(size, 7));
    EXPECT_EQ(load_file(path()), filled(size, 7));
    EXPECT_EQ(files(), 1u) << "no temporary is left";
  }
}

TEST_F(CheckpointFileTest, a_file_is_replaced_and_who_has_the_old_one_open_keeps_it) {
  save_atomically(path(), filled(100, 1));
  const int old = open(path().c_str(), O_RDONLY | O_CLOEXEC);
  ASSERT_GE(old, 0);
  save_atomically(path(), filled(50, 2));
  EXPECT_EQ(load_file(path()), filled(50, 2));
  Bytes read_back(200);
  EXPECT_EQ(read(old, read_back.data(), read_back.size()), 100);
  EXPECT_EQ(read_back[99], std::byte{1});
  close(old);
}

TEST_F(CheckpointFileTest, the_mode_is_that_of_any_new_file) {
  const mode_t before = umask(027);
  save_atomically(path(), filled(1, 1));
  umask(before);
  EXPECT_EQ(static_cast<unsigned>(fs::status(path()).permissions()), 0640u);
}

TEST_F(CheckpointFileTest, a_full_disk_keeps_the_old_file_and_leaves_no_temporary) {
  save_atomically(path(), filled(100, 1));
  int error = 0, error_of_new = 0;
  {
    const FullDisk full(1000);  // the first write is cut short, the next one fails
    error = save_error(path(), filled(100'000, 2));
    error_of_new = save_error(path("new.ckpt"), filled(1001, 2));
  }
  EXPECT_EQ(error, EFBIG);
  EXPECT_EQ(error_of_new, EFBIG);
  EXPECT_EQ(load_file(path()), filled(100, 1));
  EXPECT_EQ(files(), 1u);
}

TEST_F(CheckpointFileTest, a_target_that_cannot_be_is_an_error_and_leaves_nothing) {
  EXPECT_EQ(save_error(path("missing/a.ckpt"), filled(1, 1)), ENOENT);
  EXPECT_EQ(save_error("", filled(1, 1)), ENOENT);
  EXPECT_EQ(save_error(path() + "/", filled(1, 1)), EISDIR);
  fs::create_directory(path("folder"));
  EXPECT_EQ(save_error(path("folder"), filled(1, 1)), EISDIR) << "the rename fails";
  EXPECT_EQ(save_error(path("folder") + "/", filled(1, 1)), EISDIR);
  save_atomically(path(), filled(1, 1));
  EXPECT_EQ(save_error(path() + "/b", filled(1, 1)), ENOTDIR);
  EXPECT_EQ(save_error(path(std::string(256, 'n').c_str()), filled(1, 1)), ENAMETOOLONG);
  EXPECT_EQ(error_of([&] { save_atomically(path() + std::string("\0x", 2), filled(1, 1)); }, path()), EINVAL);
  EXPECT_EQ(files(), 2u);
  EXPECT_TRUE(fs::is_empty(path("folder")));
}

TEST_F(CheckpointFileTest, the_longest_name_and_a_relative_path_can_be_saved_to) {
  const std::string longest(255, 'n');
  save_atomically(path(longest.c_str()), filled(3, 3));
  EXPECT_EQ(load_file(path(longest.c_str())), filled(3, 3));
  const fs::path before = fs::current_path();
  fs::current_path(folder_);
  const int error = save_error("relative.ckpt", filled(4, 4));
  fs::current_path(before);
  EXPECT_EQ(error, 0);
  EXPECT_EQ(load_file(path("relative.ckpt")), filled(4, 4));
}

TEST_F(CheckpointFileTest, temporaries_of_others_are_not_in_the_way_and_stay) {
  std::vector<std::string> theirs;
  for (int n = 0; n < 3; ++n) {
    theirs.push_back(path((".ringkernel-" + std::to_string(getpid()) + "-" + std::to_string(n) + ".tmp").c_str()));
    close(open(theirs.back().c_str(), O_CREAT | O_WRONLY | O_CLOEXEC, 0600));
  }
  save_atomically(path(), filled(9, 9));
  EXPECT_EQ(load_file(path()), filled(9, 9));
  for (const std::string& their : theirs) EXPECT_EQ(fs::file_size(their), 0u) << their;
  EXPECT_EQ(files(), 4u);
}

TEST_F(CheckpointFileTest, a_link_is_replaced_and_what_it_points_to_stays) {
  save_atomically(path("target"), filled(1, 1));
  fs::create_symlink(path("target"), path());
  save_atomically(path(), filled(2, 2));
  EXPECT_EQ(load_file(path("target")), filled(1, 1));
  EXPECT_EQ(load_file(path()), filled(2, 2));
}

TEST_F(CheckpointFileTest, what_cannot_be_loaded_is_an_error_with_its_path) {
  EXPECT_EQ(load_error(path()), ENOENT);
  EXPECT_EQ(load_error(folder_.string()), EISDIR);
  EXPECT_EQ(load_error(""), ENOENT);
  EXPECT_EQ(load_error("/dev/zero"), EINVAL) << "has no end";
  ASSERT_EQ(mkfifo(path("pipe").c_str(), 0600), 0);
  EXPECT_EQ(load_error(path("pipe")), EINVAL) << "and does not wait for a writer";
}

TEST_F(CheckpointFileTest, a_file_whose_size_is_not_known_beforehand_is_loaded) {
  EXPECT_FALSE(load_file("/proc/self/status").empty());
}

// Killed anywhere between the first byte and the rename: the file is always one of the two, whole.
TEST_F(CheckpointFileTest, a_killed_process_leaves_the_old_or_the_new_file) {
  const Bytes one = filled(300'000, 1), two = filled(200'000, 2);
  save_atomically(path(), one);
  for (useconds_t round = 0; round < 12; ++round) {
    const pid_t child = fork();
    ASSERT_GE(child, 0);
    if (child == 0) {
      for (;;) {
        save_atomically(path(), two);
        save_atomically(path(), one);
      }
    }
    for (int look = 0; look < 3; ++look) {  // also while the other one is writing
      usleep(300 * (round + 1));
      const Bytes now = load_file(path());
      EXPECT_TRUE(now == one || now == two) << now.size();
    }
    kill(child, SIGKILL);
    int status = 0;
    waitpid(child, &status, 0);
    EXPECT_TRUE(WIFSIGNALED(status)) << "the child ended by itself";
    const Bytes left = load_file(path());
    EXPECT_TRUE(left == one || left == two) << left.size();
  }
  save_atomically(path(), filled(1, 5));
  EXPECT_EQ(load_file(path()), filled(1, 5));
}

}  // namespace
}  // namespace rk
