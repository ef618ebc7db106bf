// Fields as data descriptors: attribute access decodes the wire bytes in place.
#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include "bindings.h"
#include "message_object.h"
#include "ringkernel/runtime/buffer_table.h"
#include "scalars.h"

namespace rk::py {
namespace {

// What an array that points into a message has as its base: it keeps the message, and counts as an export.
struct ExportObject {
  PyObject_HEAD MessageObject* message;
};

void export_dealloc(PyObject* self) {
  MessageObject* message = reinterpret_cast<ExportObject*>(self)->message;
  --message->exports;
  Py_DECREF(message);
  Py_TYPE(self)->tp_free(self);
}

PyTypeObject ExportType = blank_type();

bool belongs(FieldObject* field, PyObject* object) {
  if (Py_TYPE(object) == field->owner) return true;
  raise("FieldTypeError", "the field %R belongs to %s, not to %s", field->name, field->owner->tp_name,
        Py_TYPE(object)->tp_name);
  return false;
}

PyObject* array_dtype(FieldObject* field) {
  if (field->dtype != nullptr) return field->dtype;
  PyObject* module = PyImport_ImportModule("pyringkernel._arrays");
  if (module == nullptr) return nullptr;
  PyObject* nested = field->nested != nullptr ? reinterpret_cast<PyObject*>(field->nested) : Py_None;
  field->dtype = PyObject_CallMethod(module, "element_dtype", "sO", scalar_name(field->layout.scalar), nested);
  Py_DECREF(module);
  return field->dtype;
}

PyObject* get_array(FieldObject* field, MessageObject* message) {
  PyObject* dtype = array_dtype(field);
  if (dtype == nullptr) return nullptr;
  const FieldLayout& layout = field->layout;
  std::size_t count = layout.count;
  if (layout.shape == Shape::kVec) count = std::min<std::size_t>(count, detail::vec_length(message->payload, layout));
  PyObject* base = new_export(message);
  if (base == nullptr) return nullptr;
  try {
    const auto owner = pybind11::reinterpret_steal<pybind11::object>(base);
    return pybind11::array(
               pybind11::reinterpret_borrow<pybind11::dtype>(dtype), {static_cast<pybind11::ssize_t>(count)},
               {static_cast<pybind11::ssize_t>(layout.element_size)}, message->payload + layout.elements_offset, owner)
        .release()
        .ptr();
  } catch (pybind11::error_already_set& error) {
    error.restore();
    return nullptr;
  }
}

PyObject* get_nested(FieldObject* field, MessageObject* message) {
  PyObject* base = new_export(message);
  if (base == nullptr) return nullptr;
  MessageObject* view = new_view(field->nested, message->payload + field->layout.offset, base);
  Py_DECREF(base);
  return reinterpret_cast<PyObject*>(view);
}

bool set_nested(FieldObject* field, std::byte* payload, PyObject* value) {
  if (Py_TYPE(value) != field->nested) {
    raise("FieldTypeError", "%U: found %s, need %s", field->name, Py_TYPE(value)->tp_name, field->nested->tp_name);
    return false;
  }
  auto* message = reinterpret_cast<MessageObject*>(value);
  if (!alive(message)) return false;
  std::memmove(payload + field->layout.offset, message->payload, field->layout.element_size);
  return true;
}

// The format characters of the buffer protocol that mean exactly this scalar.
bool format_matches(const char* format, Scalar scalar, Py_ssize_t item_size, std::uint32_t element_size) {
  static constexpr const char* kFormats[] = {"?", "b", "h", "i", "lq", "B", "H", "I", "LQ", "e", "f", "d", "", ""};
  if (format == nullptr || item_size != static_cast<Py_ssize_t>(element_size)) return false;
  const char* code = *format == '@' || *format == '=' || *format == '<' ? format + 1 : format;
  return code[0] != '\0' && code[1] == '\0' && std::strchr(kFormats[static_cast<int>(scalar)], code[0]) != nullptr;
}

// `from` may be part of the same payload.
void store_elements(const FieldLayout& layout, std::byte* payload, const void* from, std::size_t count) {
  std::byte* elements = payload + layout.elements_offset;
  std::memmove(elements, from, count * layout.element_size);
  if (layout.shape != Shape::kVec) return;
  const std::uint32_t before = std::min(detail::vec_length(payload, layout), layout.count);
  const auto length = static_cast<std::uint32_t>(count);
  std::memcpy(payload + layout.offset, &length, sizeof(length));
  if (before > length) {  // no old elements behind the end: they would be compared, and sent
    std::memset(elements + count * layout.element_size, 0, (before - count) * layout.element_size);
  }
}

bool length_fits(FieldObject* field, std::size_t count) {
  const FieldLayout& layout = field->layout;
  if (layout.shape == Shape::kArray ? count == layout.count : count <= layout.count) return true;
  raise("FieldRangeError",
        layout.shape == Shape::kArray ? "%U: found %zu elements, need exactly %u"
                                      : "%U: found %zu elements, the bound is %u",
        field->name, count, layout.count);
  return false;
}

// Anything that is not the right buffer already: lists, other dtypes, DLPack, nested messages.
bool set_array_slowly(FieldObject* field, std::byte* payload, PyObject* value) {
  PyObject* dtype = array_dtype(field);
  PyObject* module = dtype != nullptr ? PyImport_ImportModule("pyringkernel._arrays") : nullptr;
  if (module == nullptr) return false;
  PyObject* nested = field->nested != nullptr ? reinterpret_cast<PyObject*>(field->nested) : Py_None;
  PyObject* array = PyObject_CallMethod(module, "convert", "OOOO", value, dtype, field->name, nested);
  Py_DECREF(module);
  if (array == nullptr) return false;
  Py_buffer buffer;
  const bool got = PyObject_GetBuffer(array, &buffer, PyBUF_SIMPLE) == 0;
  bool stored = false;
  if (got) {
    const std::size_t count = static_cast<std::size_t>(buffer.len) / field->layout.element_size;
    stored = length_fits(field, count);
    if (stored) store_elements(field->layout, payload, buffer.buf, count);
    PyBuffer_Release(&buffer);
  }
  Py_DECREF(array);
  return stored;
}

bool set_array(FieldObject* field, std::byte* payload, PyObject* value) {
  Py_buffer buffer;
  if (PyObject_GetBuffer(value, &buffer, PyBUF_FORMAT | PyBUF_C_CONTIGUOUS) != 0) {
    PyErr_Clear();
    return set_array_slowly(field, payload, value);
  }
  const bool direct = buffer.ndim == 1 &&
                      format_matches(buffer.format, field->layout.scalar, buffer.itemsize, field->layout.element_size);
  bool stored = false;
  if (direct) {
    const std::size_t count = static_cast<std::size_t>(buffer.len / buffer.itemsize);
    stored = length_fits(field, count);
    if (stored) store_elements(field->layout, payload, buffer.buf, count);
  }
  PyBuffer_Release(&buffer);
  return direct ? stored : set_array_slowly(field, payload, value);
}

// rk.BufferRef(reference, scalar) of the 16 bytes.
PyObject* get_reference(FieldObject* field, MessageObject* message) {
  PyObject* module = PyImport_ImportModule("pyringkernel.buffers");
  if (module == nullptr) return nullptr;
  BufferReference reference;
  std::memcpy(&reference, message->payload + field->layout.offset, sizeof(reference));
  PyObject* made = PyObject_CallMethod(module, "BufferRef", "KIIs", static_cast<unsigned long long>(reference.address),
                                       reference.count, reference.key, scalar_name(field->layout.scalar));
  Py_DECREF(module);
  return made;
}

// From what pyringkernel.buffers makes of a Buffer, a BufferRef or None: (address, count, key).
bool set_reference(FieldObject* field, std::byte* payload, PyObject* value) {
  PyObject* module = PyImport_ImportModule("pyringkernel.buffers");
  if (module == nullptr) return false;
  PyObject* row =
      PyObject_CallMethod(module, "reference_of", "OsO", value, scalar_name(field->layout.scalar), field->name);
  Py_DECREF(module);
  if (row == nullptr) return false;
  unsigned long long address = 0;
  unsigned int count = 0, key = 0;
  const bool good = PyArg_ParseTuple(row, "KII", &address, &count, &key) != 0;
  Py_DECREF(row);
  if (!good) return false;
  const BufferReference reference{address, count, key};
  std::memcpy(payload + field->layout.offset, &reference, sizeof(reference));
  return true;
}

PyObject* descr_get(PyObject* self, PyObject* object, PyObject*) {
  auto* field = reinterpret_cast<FieldObject*>(self);
  if (object == nullptr) return Py_NewRef(self);
  if (!belongs(field, object)) return nullptr;
  auto* message = reinterpret_cast<MessageObject*>(object);
  return alive(message) ? get_field(field, message) : nullptr;
}

int descr_set(PyObject* self, PyObject* object, PyObject* value) {
  auto* field = reinterpret_cast<FieldObject*>(self);
  if (!belongs(field, object)) return -1;
  if (value == nullptr) return raise("FieldTypeError", "the field %R cannot be deleted", field->name), -1;
  auto* message = reinterpret_cast<MessageObject*>(object);
  return alive(message) && set_field_at(field, message->payload, value) ? 0 : -1;
}

void field_dealloc(PyObject* self) {
  auto* field = reinterpret_cast<FieldObject*>(self);
  Py_XDECREF(field->name);
  Py_XDECREF(field->nested);
  Py_XDECREF(field->dtype);
  field->layout.~FieldLayout();
  Py_TYPE(self)->tp_free(self);
}

PyObject* field_repr(PyObject* self) {
  auto* field = reinterpret_cast<FieldObject*>(self);
  return PyUnicode_FromFormat("<field %s.%U: %s at %u>", field->owner->tp_name, field->name,
                              scalar_name(field->layout.scalar), field->layout.offset);
}

}  // namespace

PyTypeObject FieldType = blank_type();

PyObject* get_field(FieldObject* field, MessageObject* message) {
  const FieldLayout& layout = field->layout;
  if (layout.shape == Shape::kRef) return get_reference(field, message);
  if (layout.shape != Shape::kOne) return get_array(field, message);
  if (layout.scalar == Scalar::kStruct) return get_nested(field, message);
  return load_scalar(layout.scalar, message->payload + layout.offset, layout.element_size);
}

bool set_field_at(FieldObject* field, std::byte* payload, PyObject* value) {
  const FieldLayout& layout = field->layout;
  if (layout.shape == Shape::kRef) return set_reference(field, payload, value);
  if (layout.shape != Shape::kOne) return set_array(field, payload, value);
  if (layout.scalar == Scalar::kStruct) return set_nested(field, payload, value);
  return store_scalar(layout.scalar, payload + layout.offset, layout.element_size, value, field->name);
}

PyObject* new_export(MessageObject* message) {
  PyObject* self = ExportType.tp_alloc(&ExportType, 0);
  if (self == nullptr) return nullptr;
  Py_INCREF(message);
  reinterpret_cast<ExportObject*>(self)->message = message;
  ++message->exports;
  return self;
}

void ready_field_types() {
  FieldType.tp_name = "pyringkernel._core.Field";
  FieldType.tp_basicsize = sizeof(FieldObject);
  FieldType.tp_flags = Py_TPFLAGS_DEFAULT;
  FieldType.tp_dealloc = field_dealloc;
  FieldType.tp_repr = field_repr;
  FieldType.tp_descr_get = descr_get;
  FieldType.tp_descr_set = descr_set;
  ExportType.tp_name = "pyringkernel._core.Export";
  ExportType.tp_basicsize = sizeof(ExportObject);
  ExportType.tp_flags = Py_TPFLAGS_DEFAULT;
  ExportType.tp_dealloc = export_dealloc;
  if (PyType_Ready(&FieldType) != 0 || PyType_Ready(&ExportType) != 0) throw pybind11::error_already_set();
}

}  // namespace rk::py
