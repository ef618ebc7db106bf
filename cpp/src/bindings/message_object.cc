#include "message_object.h"

#include <pybind11/pybind11.h>

#include <algorithm>

#include "bindings.h"

namespace rk::py {
namespace {

PyObject* layout_attribute() {
  static PyObject* name = PyUnicode_InternFromString("__rk_layout__");
  return name;
}

MessageObject* allocate(PyTypeObject* type, Py_ssize_t inline_bytes) {
  const auto bytes =
      static_cast<std::size_t>(offsetof(MessageObject, storage)) + static_cast<std::size_t>(inline_bytes);
  auto* message = static_cast<MessageObject*>(PyObject_Malloc(bytes));
  if (message == nullptr) {
    PyErr_NoMemory();
    return nullptr;
  }
  PyObject_InitVar(reinterpret_cast<PyVarObject*>(message), type, inline_bytes);
  message->owner = nullptr;
  message->exports = 0;
  std::memset(message->header, 0, sizeof(message->header));
  return message;
}

void message_dealloc(PyObject* self) {
  PyTypeObject* type = Py_TYPE(self);
  Py_XDECREF(reinterpret_cast<MessageObject*>(self)->owner);
  PyObject_Free(self);
  if ((type->tp_flags & Py_TPFLAGS_HEAPTYPE) != 0) Py_DECREF(type);
}

FieldObject* find_field(const LayoutObject& layout, PyObject* name, std::size_t* index) {
  for (std::size_t i = 0; i < layout.fields.size(); ++i) {
    if (layout.fields[i]->name == name) return *index = i, layout.fields[i];
  }
  for (std::size_t i = 0; i < layout.fields.size(); ++i) {
    if (PyUnicode_Compare(layout.fields[i]->name, name) == 0) return *index = i, layout.fields[i];
  }
  return nullptr;
}

bool check_complete(PyTypeObject* type, const LayoutObject& layout, const std::vector<bool>& given) {
  for (std::size_t i = 0; i < layout.fields.size(); ++i) {
    if (!layout.fields[i]->required || given[i]) continue;
    raise("FieldTypeError", "%s() needs the field %R: give it, or a default in the class", type->tp_name,
          layout.fields[i]->name);
    return false;
  }
  return true;
}

bool fill(PyTypeObject* type, const LayoutObject& layout, MessageObject* message, PyObject* const* args,
          std::size_t count, PyObject* names) {
  if (count > layout.fields.size()) {
    raise("FieldTypeError", "%s() has %zu fields, %zu positional arguments were given", type->tp_name,
          layout.fields.size(), count);
    return false;
  }
  std::vector<bool> given(layout.fields.size(), false);
  for (std::size_t i = 0; i < count; ++i) {
    if (!set_field_at(layout.fields[i], message->payload, args[i])) return false;
    given[i] = true;
  }
  const Py_ssize_t keywords = names != nullptr ? PyTuple_GET_SIZE(names) : 0;
  for (Py_ssize_t k = 0; k < keywords; ++k) {
    std::size_t index = 0;
    PyObject* name = PyTuple_GET_ITEM(names, k);
    FieldObject* field = find_field(layout, name, &index);
    if (field == nullptr || given[index]) {
      raise("FieldTypeError", field == nullptr ? "%s() has no field %R" : "%s() got the field %R twice", type->tp_name,
            name);
      return false;
    }
    if (!set_field_at(field, message->payload, args[count + static_cast<std::size_t>(k)])) return false;
    given[index] = true;
  }
  return check_complete(type, layout, given);
}

PyObject* message_vectorcall(PyObject* callable, PyObject* const* args, std::size_t nargsf, PyObject* names) {
  auto* type = reinterpret_cast<PyTypeObject*>(callable);
  LayoutObject* layout = layout_of(type);
  if (layout == nullptr) return nullptr;
  MessageObject* message = new_message(type, *layout, layout->defaults.data());
  if (message == nullptr) return nullptr;
  const auto count = static_cast<std::size_t>(PyVectorcall_NARGS(nargsf));
  if (!fill(type, *layout, message, args, count, names)) {
    Py_DECREF(message);
    return nullptr;
  }
  return reinterpret_cast<PyObject*>(message);
}

// For callers that do not go through vectorcall, such as cls.__new__(cls).
PyObject* message_new(PyTypeObject* type, PyObject* args, PyObject* kwargs) {
  if (type == &MessageType) return raise("FieldTypeError", "make a message class with @rk.message first");
  if (kwargs != nullptr && PyDict_GET_SIZE(kwargs) != 0) {
    return raise("FieldTypeError", "%s.__new__ takes positional arguments only", type->tp_name);
  }
  const auto* items = reinterpret_cast<PyTupleObject*>(args)->ob_item;
  return message_vectorcall(reinterpret_cast<PyObject*>(type), items, static_cast<std::size_t>(PyTuple_GET_SIZE(args)),
                            nullptr);
}

int get_buffer(PyObject* self, Py_buffer* view, int flags) {
  auto* message = reinterpret_cast<MessageObject*>(self);
  if (!alive(message)) return -1;
  const LayoutObject* layout = layout_of(Py_TYPE(self));
  if (layout == nullptr) return -1;
  if (PyBuffer_FillInfo(view, self, message->payload, layout->layout->size, 0, flags) != 0) return -1;
  ++message->exports;
  return 0;
}

void release_buffer(PyObject* self, Py_buffer*) { --reinterpret_cast<MessageObject*>(self)->exports; }

PyObject* compare(PyObject* a, PyObject* b, int op) {
  if ((op != Py_EQ && op != Py_NE) || Py_TYPE(a) != Py_TYPE(b)) Py_RETURN_NOTIMPLEMENTED;
  auto *left = reinterpret_cast<MessageObject*>(a), *right = reinterpret_cast<MessageObject*>(b);
  const LayoutObject* layout = layout_of(Py_TYPE(a));
  if (layout == nullptr || !alive(left) || !alive(right)) return nullptr;
  const bool same = std::memcmp(left->payload, right->payload, layout->layout->size) == 0;
  return PyBool_FromLong(same == (op == Py_EQ));
}

PyObject* get_header(PyObject* self, void*) {
  PyObject* header = PyObject_CallOneArg(reinterpret_cast<PyObject*>(&HeaderType), self);
  return header;
}

PyObject* to_bytes(PyObject* self, PyObject*) {
  auto* message = reinterpret_cast<MessageObject*>(self);
  const LayoutObject* layout = layout_of(Py_TYPE(self));
  if (layout == nullptr || !alive(message)) return nullptr;
  const std::uint32_t size = layout->layout->size;
  PyObject* frame = PyBytes_FromStringAndSize(nullptr, static_cast<Py_ssize_t>(sizeof(MessageHeader) + size));
  if (frame == nullptr) return nullptr;
  auto* bytes = reinterpret_cast<std::byte*>(PyBytes_AS_STRING(frame));
  MessageHeader header = message->load_header();
  header.version = kMessageVersion;
  header.type_id = layout->layout->type_id;
  header.payload_size = size;
  std::memcpy(bytes, &header, sizeof(header));
  std::memcpy(bytes + sizeof(header), message->payload, size);
  seal_frame(bytes);
  return frame;
}

PyObject* to_payload(PyObject* self, PyObject*) {
  auto* message = reinterpret_cast<MessageObject*>(self);
  const LayoutObject* layout = layout_of(Py_TYPE(self));
  if (layout == nullptr || !alive(message)) return nullptr;
  return PyBytes_FromStringAndSize(reinterpret_cast<const char*>(message->payload), layout->layout->size);
}

PyObject* copy(PyObject* self, PyObject*) {
  auto* message = reinterpret_cast<MessageObject*>(self);
  const LayoutObject* layout = layout_of(Py_TYPE(self));
  if (layout == nullptr || !alive(message)) return nullptr;
  MessageObject* twin = new_message(Py_TYPE(self), *layout, message->payload);
  if (twin != nullptr) std::memcpy(twin->header, message->header, sizeof(twin->header));
  return reinterpret_cast<PyObject*>(twin);
}

bool accept_payload(PyTypeObject* type, const LayoutObject& layout, const std::byte* payload, std::size_t size) {
  const PayloadProblem problem = check_payload(*layout.layout, payload, size);
  const char* field =
      problem.field < layout.fields.size() ? PyUnicode_AsUTF8(layout.fields[problem.field]->name) : "end";
  switch (problem.error) {
    case PayloadError::kNone:
      return true;
    case PayloadError::kWrongSize:
      raise("InvalidMessageError", "%s: found %zu payload bytes, need %u", type->tp_name, size, layout.layout->size);
      return false;
    case PayloadError::kBadBool:
      raise("InvalidMessageError", "%s.%s: found the byte %llu where a bool (0 or 1) is needed", type->tp_name, field,
            static_cast<unsigned long long>(problem.found));
      return false;
    case PayloadError::kVecTooLong:
      raise("InvalidMessageError", "%s.%s: found a length of %llu, the bound is %u", type->tp_name, field,
            static_cast<unsigned long long>(problem.found), layout.fields[problem.field]->layout.count);
      return false;
    case PayloadError::kPaddingNotZero:
      raise("InvalidMessageError", "%s: padding before %s is not zero; the bytes come from another layout",
            type->tp_name, field);
      return false;
  }
  return false;
}

PyObject* from_checked(PyTypeObject* type, const LayoutObject& layout, const std::byte* payload, std::size_t size,
                       const MessageHeader* header) {
  if (!accept_payload(type, layout, payload, size)) return nullptr;
  MessageObject* message = new_message(type, layout, payload);
  if (message != nullptr && header != nullptr) message->store_header(*header);
  return reinterpret_cast<PyObject*>(message);
}

PyObject* from_payload(PyObject* cls, PyObject* data) {
  auto* type = reinterpret_cast<PyTypeObject*>(cls);
  const LayoutObject* layout = layout_of(type);
  Py_buffer buffer;
  if (layout == nullptr || PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE) != 0) return nullptr;
  const auto* bytes = static_cast<const std::byte*>(buffer.buf);
  PyObject* message = from_checked(type, *layout, bytes, static_cast<std::size_t>(buffer.len), nullptr);
  PyBuffer_Release(&buffer);
  return message;
}

PyObject* from_frame(PyTypeObject* type, const LayoutObject& layout, const std::byte* frame, std::size_t size) {
  static constexpr const char* kProblems[] = {"",
                                              "the frame is truncated",
                                              "the frame is longer than its header says",
                                              "the version is unknown",
                                              "unknown flags are set",
                                              "the priority is not 0 to 3",
                                              "the checksum is missing or wrong: bytes were changed"};
  MessageHeader header;
  const FrameError error = check_frame(frame, size, &header);
  if (error != FrameError::kNone) {
    return raise("InvalidMessageError",
                 "%s.from_bytes: %s (found %zu bytes; a frame is a 64-byte header and %u payload bytes)", type->tp_name,
                 kProblems[static_cast<int>(error)], size, layout.layout->size);
  }
  if (header.type_id != layout.layout->type_id) {
    return raise("InvalidMessageError", "%s.from_bytes: found a message of type id 0x%08x, need 0x%08x", type->tp_name,
                 header.type_id, layout.layout->type_id);
  }
  return from_checked(type, layout, frame + sizeof(header), header.payload_size, &header);
}

PyObject* from_bytes(PyObject* cls, PyObject* data) {
  auto* type = reinterpret_cast<PyTypeObject*>(cls);
  const LayoutObject* layout = layout_of(type);
  Py_buffer buffer;
  if (layout == nullptr || PyObject_GetBuffer(data, &buffer, PyBUF_SIMPLE) != 0) return nullptr;
  // A private copy first: what was checked must be what is used, whoever else writes to the buffer.
  const std::vector<std::byte> frame(static_cast<const std::byte*>(buffer.buf),
                                     static_cast<const std::byte*>(buffer.buf) + buffer.len);
  PyBuffer_Release(&buffer);
  return from_frame(type, *layout, frame.data(), frame.size());
}

PyMethodDef kMethods[] = {
    {"to_bytes", to_bytes, METH_NOARGS, "Header and payload as one self-describing, checksummed frame."},
    {"__bytes__", to_payload, METH_NOARGS, "The payload's wire bytes."},
    {"copy", copy, METH_NOARGS, "An independent copy, also of a view."},
    {"from_bytes", from_bytes, METH_O | METH_CLASS, "A message from a frame; raises InvalidMessageError."},
    {"from_payload", from_payload, METH_O | METH_CLASS, "A message from wire bytes; raises InvalidMessageError."},
    {nullptr, nullptr, 0, nullptr}};

PyGetSetDef kProperties[] = {{"header", get_header, nullptr, "The message's MessageHeader.", nullptr},
                             {nullptr, nullptr, nullptr, nullptr, nullptr}};

PyBufferProcs kBuffer = {get_buffer, release_buffer};

}  // namespace

PyTypeObject MessageType = blank_type();

LayoutObject* layout_of(PyTypeObject* type) {
  PyObject* found = _PyType_Lookup(type, layout_attribute());
  if (found != nullptr && Py_TYPE(found) == &LayoutType) return reinterpret_cast<LayoutObject*>(found);
  raise("FieldTypeError", "%s is no message class: decorate it with @rk.message", type->tp_name);
  return nullptr;
}

MessageObject* new_message(PyTypeObject* type, const LayoutObject& layout, const std::byte* payload) {
  MessageObject* message = allocate(type, layout.layout->size);
  if (message == nullptr) return nullptr;
  message->payload = message->storage;
  std::memcpy(message->storage, payload, layout.layout->size);
  message->header[offsetof(MessageHeader, priority)] = std::byte{kPriorityNormal};
  return message;
}

MessageObject* new_view(PyTypeObject* type, std::byte* payload, PyObject* owner) {
  MessageObject* message = allocate(type, 0);
  if (message == nullptr) return nullptr;
  message->payload = payload;
  Py_INCREF(owner);
  message->owner = owner;
  message->header[offsetof(MessageHeader, priority)] = std::byte{kPriorityNormal};
  return message;
}

bool end_view(MessageObject* view) {
  if (view->exports != 0) {
    raise("ViewInUseError",
          "%zd arrays or views still point into this message: delete them, or copy what you keep, before the slot is "
          "handed back",
          view->exports);
    return false;
  }
  view->payload = nullptr;
  return true;
}

bool alive(MessageObject* message) {
  if (message->payload != nullptr) return true;
  raise("ReleasedError", "the slot behind this %s was handed back to its ring: copy() it while it is in use",
        Py_TYPE(message)->tp_name);
  return false;
}

void ready_message_type() {
  MessageType.tp_name = "pyringkernel._core.Message";
  MessageType.tp_doc = "Base of all message classes; see @rk.message.";
  MessageType.tp_basicsize = offsetof(MessageObject, storage);
  MessageType.tp_itemsize = 1;
  MessageType.tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE;
  MessageType.tp_new = message_new;
  MessageType.tp_dealloc = message_dealloc;
  MessageType.tp_methods = kMethods;
  MessageType.tp_getset = kProperties;
  MessageType.tp_as_buffer = &kBuffer;
  MessageType.tp_richcompare = compare;
  MessageType.tp_hash = PyObject_HashNotImplemented;
  if (PyType_Ready(&MessageType) != 0) throw pybind11::error_already_set();
}

void adopt_message_class(PyTypeObject* type) {
  type->tp_vectorcall = message_vectorcall;
  type->tp_dealloc = message_dealloc;
  // Instances hold no cycles and have no header of the collector; a class that says otherwise corrupts its lists.
  // Immutable, so that no instance can become one of a class with a larger layout.
  type->tp_flags &= ~(Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_BASETYPE);
  type->tp_flags |= Py_TPFLAGS_IMMUTABLETYPE;
  type->tp_traverse = nullptr;
  type->tp_clear = nullptr;
  type->tp_free = PyObject_Free;
  PyType_Modified(type);
}

}  // namespace rk::py
