// The receiving side of ask(): takes replies out of a port, and completes their operations.
#include "ask_port.h"

#include <algorithm>
#include <cstring>
#include <utility>
#include <vector>

#include "kernel_box.h"
#include "ring_box.h"

namespace rk::py {

namespace py = pybind11;

AskPort::AskPort(const std::shared_ptr<Runtime>& runtime, py::object loop)
    : port_(runtime->open_port(&address_)), loop_(std::move(loop)) {
  if (!loop_.is_none()) {
    thread_ = PyThread_get_thread_ident();
    loop_ = py::weakref(loop_);
    (void)port_->event();
    (void)port_->arm();
  }
}

AskPort::~AskPort() {
  for (auto& [id, op] : pending_) Py_DECREF(op);
}

bool AskPort::forget(std::uint64_t id, const OperationObject* operation) {
  const auto found = pending_.find(id);
  if (found == pending_.end() || found->second != operation) return false;
  pending_.erase(found);
  return true;
}

// What is still pending may be waited for elsewhere. After that, kernels must not wait for us to take their replies.
void AskPort::retire() {
  retired_ = true;
  close_if_over();
}

void AskPort::close_if_over() {
  if (!over() || port_->inbox().closed()) return;
  port_->inbox().close();
  while (take_batch() != 0) continue;
}

// Copied out first: to make Python objects may run any code, this function included.
std::size_t AskPort::take_batch() {
  constexpr std::uint64_t kBatch = 256;
  std::vector<std::byte> bytes;
  std::vector<std::size_t> starts;
  port_->drain(kBatch, [&](const std::byte* slot) {
    MessageHeader header;
    std::memcpy(&header, slot, sizeof(header));
    starts.push_back(bytes.size());
    bytes.insert(bytes.end(), slot, slot + sizeof(header) + header.payload_size);
  });
  for (const std::size_t start : starts) {
    MessageHeader header;
    std::memcpy(&header, bytes.data() + start, sizeof(header));
    const auto found = pending_.find(header.correlation_id);
    if (found == pending_.end()) continue;  // cancelled, or not the first reply
    OperationObject* op = found->second;
    pending_.erase(found);
    const std::byte* payload = bytes.data() + start + sizeof(header);
    const bool failed = (header.flags & kFlagError) != 0;
    complete(op, failed ? raise_error_reply(kernel_of(op), header, payload) : message_from(header, payload));
    Py_DECREF(op);
  }
  if (!starts.empty()) tell_who_waits();
  return starts.size();
}

// A kernel that has ended answers no more. What it answered before is taken first: it may have come since our last
// look.
void AskPort::fail_the_silent() {
  std::vector<std::uint64_t> ids;
  for (const auto& [id, op] : pending_) {
    if (kernel_of(op).kernel->silent()) ids.push_back(id);
  }
  while (take_batch() != 0) continue;
  for (const std::uint64_t id : ids) {
    const auto found = pending_.find(id);
    if (found == pending_.end() || !kernel_of(found->second).kernel->silent()) continue;
    OperationObject* op = found->second;
    pending_.erase(found);
    complete(op, raise_gone(kernel_of(op)));
    Py_DECREF(op);
  }
  if (!ids.empty()) tell_who_waits();
}

std::size_t AskPort::drain() {
  std::size_t done = 0;
  for (;;) {
    const std::uint64_t kicks = port_->kicks();
    const std::size_t some = take_batch();
    done += some;
    if (some == 0 && kicks != kicks_seen_) {
      kicks_seen_ = kicks;
      fail_the_silent();
    }
    if (some == 0 && (!has_loop() || port_->arm()) && port_->kicks() == kicks_seen_) break;
    if (done <= kDrainedAtOnce) continue;
    if (has_loop()) port_->call_back();  // after its other callbacks
    break;
  }
  close_if_over();
  return done;
}

void AskPort::settle() {
  drain();
  fail_the_silent();
}

int AskPort::wait(std::uint64_t deadline_ns) {
  const auto port = port_;
  const std::uint64_t seen = kicks_seen_ + port->nudges();
  Scheduler::about_to_block();
  ++waiting_;
  const int waited =
      wait_interruptibly(deadline_ns, [&](std::uint64_t slice) { return port->wait_readable(slice, seen); });
  --waiting_;
  if (waited < 0 && has_loop()) port->call_back();  // what came stays with us otherwise
  return waited;
}

// What they wait for may have been completed or cancelled by this thread: no message will wake them.
void AskPort::tell_who_waits() {
  if (waiting_ != 0) port_->nudge();
}

void AskPort::glance() {
  constexpr std::uint64_t kGlanceNs = 20'000;
  constexpr unsigned kRetryEvery = 32;
  // With others outstanding the loop has more to do than to wait: one look, because replies often come in order.
  if (pending_.size() != 1) {
    if (port_->spin_readable(0)) take_batch();
    return;
  }
  if (glances_left_ <= 0 && ++skipped_ % kRetryEvery != 0) return;
  const auto port = port_;
  PyThreadState* state = PyEval_SaveThread();
  const bool there = port->spin_readable(kGlanceNs);
  PyEval_RestoreThread(state);
  glances_left_ = there ? 8 : glances_left_ - 1;
  if (there) take_batch();
}

AskPort* AskPorts::make(const py::object& loop) {
  py::object made = py::cast(new AskPort(runtime_, loop), py::return_value_policy::take_ownership);
  if (!loop.is_none()) py::module_::import("pyringkernel._asyncio").attr("attach")(loop, made);
  last_ = nullptr;  // may be one of those that go
  const auto living =
      std::partition(ports_.begin(), ports_.end(), [](const py::object& old) { return !old.cast<AskPort*>()->over(); });
  const std::vector<py::object> gone(living, ports_.end());  // freed when ports_ is whole again
  ports_.erase(living, ports_.end());
  ports_.push_back(made);
  return made.cast<AskPort*>();
}

py::object running_loop() {
  static PyObject* running =
      py::object(py::module_::import("asyncio.events").attr("_get_running_loop")).release().ptr();
  return py::reinterpret_steal<py::object>(PyObject_CallNoArgs(running));
}

AskPort* AskPorts::here() {
  try {
    const py::object loop = running_loop();
    if (!loop) return nullptr;
    if (loop.is_none()) return common_ != nullptr ? common_ : common_ = make(loop);
    if (last_ == nullptr || last_loop_ != loop.ptr() || !last_->loop().is(loop)) {
      last_ = find(loop);
      if (last_ == nullptr) last_ = make(loop);
      last_loop_ = loop.ptr();
    }
    last_->runs_here();
    return last_;
  } catch (py::error_already_set& error) {
    error.restore();
    return nullptr;
  }
}

AskPort* AskPorts::find(const py::object& loop) const {
  for (const py::object& one : ports_) {
    auto* port = one.cast<AskPort*>();
    if (port->drained_by_loop() && port->loop().is(loop)) return port;
  }
  return nullptr;
}

void AskPorts::end() {
  const std::vector<py::object> all = ports_;
  for (const py::object& one : all) {
    auto* port = one.cast<AskPort*>();
    port->settle();
    if (port->drained_by_loop()) py::module_::import("pyringkernel._asyncio").attr("detach")(port->loop(), one);
  }
}

}  // namespace rk::py
