// Where replies to asked messages come in: one port for each event loop, one for everybody else.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "errors.h"
#include "ringkernel/runtime/runtime.h"

namespace rk::py {

struct KernelBox;
struct OperationObject;

// Protection: the GIL; the port: itself.
class AskPort : public Initialised {
 public:
  // `loop`: None for threads without one.
  AskPort(const std::shared_ptr<Runtime>& runtime, pybind11::object loop);
  ~AskPort();

  // Takes over a reference, until the operation is done or forgotten. False: one of this id is pending.
  bool expect(std::uint64_t id, OperationObject* operation) { return pending_.emplace(id, operation).second; }
  bool forget(std::uint64_t id, const OperationObject* operation);  // true: the reference is the caller's again
  std::size_t pending() const { return pending_.size(); }

  // Completes what has come, in one batch; arms the descriptor again. Returns how many.
  std::size_t drain();
  // Waits without the GIL until there may be something to drain. 1, 0: deadline, -1: error set.
  int wait(std::uint64_t deadline_ns);
  void tell_who_waits();
  // A look of some microseconds, if such looks have paid lately.
  void glance();
  // The loop is closed: no more are asked here.
  void retire();
  bool over() const { return retired_ && pending_.empty(); }
  // Every kernel has ended: completes all.
  void settle();

  void runs_here() { thread_ = PyThread_get_thread_ident(); }  // a loop may move to another thread
  bool on_own_thread() const { return thread_ == 0 || thread_ == PyThread_get_thread_ident(); }
  pybind11::object loop() const { return loop_.is_none() ? loop_ : loop_(); }  // None when it is gone
  bool has_loop() const { return !loop_.is_none(); }
  bool drained_by_loop() const { return has_loop() && !retired_ && !loop().is_none(); }
  int event() { return port_->event(); }
  Address address() const { return address_; }

 private:
  static constexpr std::size_t kDrainedAtOnce = 4096;

  std::size_t take_batch();
  void close_if_over();
  void fail_the_silent();

  Address address_{0};  // written while port_ is made
  std::shared_ptr<HostPort> port_;
  pybind11::object loop_;  // a weak reference, or None
  unsigned long thread_ = 0;
  std::unordered_map<std::uint64_t, OperationObject*> pending_;  // strong references
  std::uint64_t kicks_seen_ = 0;
  int glances_left_ = 8;
  unsigned skipped_ = 0;
  unsigned waiting_ = 0;  // threads inside wait()
  bool retired_ = false;
};

// The loop that runs in this thread, or None; empty with an error set.
pybind11::object running_loop();

// -- operation.cc
KernelBox& kernel_of(const OperationObject* operation);
// It is done. Takes over `reply`; nullptr: the error that is set.
void complete(OperationObject* operation, PyObject* reply);

// The ports of one runtime. Protection: the GIL.
class AskPorts {
 public:
  explicit AskPorts(std::shared_ptr<Runtime> runtime) : runtime_(std::move(runtime)) {}
  // For the calling thread: its running loop's, else the common one. nullptr with an error set.
  AskPort* here();
  // After the runtime's kernels: nothing is pending any more, and loops forget us.
  void end();

 private:
  AskPort* make(const pybind11::object& loop);
  AskPort* find(const pybind11::object& loop) const;  // nullptr: none

  std::shared_ptr<Runtime> runtime_;
  std::vector<pybind11::object> ports_;  // AskPort
  AskPort* common_ = nullptr;
  PyObject* last_loop_ = nullptr;  // borrowed, compared only while its port's weak reference is alive
  AskPort* last_ = nullptr;
};

}  // namespace rk::py
