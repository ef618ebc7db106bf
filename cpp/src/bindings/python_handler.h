// A Python callable as a handler: the GIL is held only while messages are handled.
#pragma once

#include <pybind11/pybind11.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "handler_errors.h"
#include "message_object.h"
#include "ringkernel/runtime/buffer_table.h"
#include "ringkernel/runtime/handler.h"

namespace rk::py {

// Holds the GIL on a scheduler's thread, which keeps its Python thread state until it ends.
class WorkerGil {
 public:
  WorkerGil() { take(); }
  ~WorkerGil() { give(); }
  WorkerGil(const WorkerGil&) = delete;
  WorkerGil& operator=(const WorkerGil&) = delete;
  static void take();
  static void give();
};

// What `ctx` is in a handler. `current` is set while a handler runs; a context kept beyond that is refused.
struct ContextBox : Initialised {
  explicit ContextBox(pybind11::object resolver) : resolve(std::move(resolver)) {}
  KernelContext* current = nullptr;
  unsigned long thread = 0;  // the worker: nobody else may send on its behalf
  pybind11::object resolve;  // (target, message class) -> address word

  // The last target and class that were resolved; most handlers send to one.
  pybind11::object last_target, last_class;
  std::uint64_t last_word = 0;
};

// Protection: everything: the GIL.
class PythonHandler final : public Handler {
 public:
  // `accepts`: message classes; `state`: a message-like object, or None when the callable takes none. `references`: for
  // a callable that uses addresses, the fields of each class that are checked and held; else none.
  PythonHandler(pybind11::object callable, pybind11::object state, const std::vector<pybind11::type>& accepts,
                pybind11::object on_error, pybind11::object resolve, std::uint32_t instances,
                std::vector<std::vector<ReferenceField>> references);
  ~PythonHandler() override;

  void batch_begins(std::uint32_t instance) override;
  void batch_ends(std::uint32_t instance) override;
  Outcome handle(KernelContext& context, const MessageHeader& header, const std::byte* payload) override;
  std::string error_text(std::uint32_t instance) override;
  void restart(std::uint32_t instance) override;
  void ends() override;
  bool shares_a_lock() const override { return true; }
  std::span<std::byte> state_of(std::uint32_t instance) override;

  // The class for a type id that this handler accepts; nullptr: none.
  PyTypeObject* accepted(std::uint32_t type_id) const;
  pybind11::object state(std::uint32_t instance);  // None when there is none

  // True on a thread that is inside this handler: waiting there for this kernel would wait for ever.
  bool runs_here() const;

  // Of this handler until it ends, then of whoever has it.
  const HandlerErrors& errors() const { return *errors_; }

 private:
  struct Instance {
    pybind11::object state, context;
    ContextBox* box = nullptr;  // of context
  };

  Instance& instance(std::uint32_t index);
  PyObject* call(Instance& mine, MessageObject* message);
  std::span<const ReferenceField> references(std::uint32_t type_id) const;
  Outcome finish(KernelContext& context, PyObject* result);
  Outcome fail(std::uint64_t message_id, Outcome outcome = Outcome::kFailed);

  pybind11::object callable_;
  pybind11::object initial_;
  pybind11::object on_error_;
  pybind11::object resolve_;
  std::vector<pybind11::type> accepts_;
  std::vector<std::uint32_t> type_ids_;
  std::vector<std::vector<ReferenceField>> references_;
  std::vector<std::unique_ptr<Instance>> instances_;  // made when first needed
  std::optional<HandlerErrors> errors_{std::in_place};
};

void bind_context(pybind11::module_& module);

}  // namespace rk::py
