// MessageHeader as Python sees it: a live view of one message's header.
#include <pybind11/pybind11.h>

#include "message_object.h"
#include "ringkernel/abi/address.h"
#include "ringkernel/core/hlc.h"
#include "timestamp.h"

namespace rk::py {
namespace {

struct HeaderObject {
  PyObject_HEAD MessageObject* message;  // owned
};

struct Entry {
  std::size_t offset;
  std::size_t size;
  const char* name;
};

#define RK_HEADER_ENTRY(S, type, name, offset) {offset, sizeof(type), #name},
constexpr Entry kEntries[] = {RK_MESSAGE_HEADER_FIELDS(RK_HEADER_ENTRY)};
#undef RK_HEADER_ENTRY

PyObject* header_new(PyTypeObject* type, PyObject* args, PyObject*) {
  PyObject* message = nullptr;
  if (PyArg_ParseTuple(args, "O!:MessageHeader", &MessageType, &message) == 0) return nullptr;
  PyObject* self = type->tp_alloc(type, 0);
  if (self == nullptr) return nullptr;
  Py_INCREF(message);
  reinterpret_cast<HeaderObject*>(self)->message = reinterpret_cast<MessageObject*>(message);
  return self;
}

void header_dealloc(PyObject* self) {
  Py_XDECREF(reinterpret_cast<HeaderObject*>(self)->message);
  Py_TYPE(self)->tp_free(self);
}

PyObject* get_entry(PyObject* self, void* closure) {
  const auto* entry = static_cast<const Entry*>(closure);
  std::uint64_t value = 0;
  std::memcpy(&value, reinterpret_cast<HeaderObject*>(self)->message->header + entry->offset, entry->size);
  return PyLong_FromUnsignedLongLong(value);
}

int set_entry(PyObject* self, PyObject* value, void* closure) {
  const auto* entry = static_cast<const Entry*>(closure);
  if (value == nullptr) return raise("FieldTypeError", "header.%s cannot be deleted", entry->name), -1;
  const unsigned long long number = PyLong_AsUnsignedLongLong(value);
  if (PyErr_Occurred() != nullptr) {
    PyErr_Clear();
    return raise("FieldTypeError", "header.%s: found %R, need an int from 0", entry->name, value), -1;
  }
  const bool is_priority = entry->offset == offsetof(MessageHeader, priority);
  if (is_priority && number >= kPriorityCount) {
    return raise("FieldRangeError", "header.priority: found %llu, need 0 (LOW) to 3 (CRITICAL)", number), -1;
  }
  std::memcpy(reinterpret_cast<HeaderObject*>(self)->message->header + entry->offset, &number, entry->size);
  return 0;
}

PyObject* get_timestamp(PyObject* self, void*) {
  const MessageHeader header = reinterpret_cast<HeaderObject*>(self)->message->load_header();
  return make_timestamp(HlcTimestamp{header.hlc, Address{header.source}.node(), Address{header.source}.shard()});
}

PyObject* header_repr(PyObject* self) {
  const MessageHeader h = reinterpret_cast<HeaderObject*>(self)->message->load_header();
  return PyUnicode_FromFormat("<MessageHeader type=0x%08x id=%llu correlation=%llu priority=%u bytes=%u>", h.type_id,
                              static_cast<unsigned long long>(h.message_id),
                              static_cast<unsigned long long>(h.correlation_id), static_cast<unsigned>(h.priority),
                              h.payload_size);
}

std::vector<PyGetSetDef>& properties() {
  static std::vector<PyGetSetDef> all;
  if (!all.empty()) return all;
  for (const Entry& entry : kEntries) {
    const bool writable = entry.offset == offsetof(MessageHeader, priority) ||
                          entry.offset == offsetof(MessageHeader, deadline) ||
                          entry.offset == offsetof(MessageHeader, correlation_id);
    all.push_back({entry.name, get_entry, writable ? set_entry : nullptr, nullptr, const_cast<Entry*>(&entry)});
  }
  all.push_back({"timestamp", get_timestamp, nullptr, "When it was sent, as HlcTimestamp.", nullptr});
  all.push_back({nullptr, nullptr, nullptr, nullptr, nullptr});
  return all;
}

}  // namespace

PyTypeObject HeaderType = blank_type();

void ready_header_type() {
  HeaderType.tp_name = "pyringkernel._core.MessageHeader";
  HeaderType.tp_doc = "The 64 bytes that travel with a message; priority, deadline and correlation_id can be set.";
  HeaderType.tp_basicsize = sizeof(HeaderObject);
  HeaderType.tp_flags = Py_TPFLAGS_DEFAULT;
  HeaderType.tp_new = header_new;
  HeaderType.tp_dealloc = header_dealloc;
  HeaderType.tp_repr = header_repr;
  HeaderType.tp_getset = properties().data();
  if (PyType_Ready(&HeaderType) != 0) throw pybind11::error_already_set();
}

}  // namespace rk::py
