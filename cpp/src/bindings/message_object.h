// The C side of message classes: an instance holds its header and its wire bytes, or shows somebody else's.
#pragma once

#include "errors.h"

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <memory>
#include <vector>

#include "ringkernel/core/message_layout.h"

namespace rk::py {

// `payload` points behind `header`, or into foreign memory that `owner` keeps alive; nullptr once that was released.
// `exports` counts arrays, buffers and nested messages that point into the payload. Protection: the GIL.
struct MessageObject {
  PyObject_VAR_HEAD  // ob_size: inline payload bytes
      std::byte* payload;
  PyObject* owner;
  Py_ssize_t exports;
  std::byte header[sizeof(MessageHeader)];  // bytes, because the allocator aligns to 16 only
  std::byte storage[1];

  MessageHeader load_header() const {
    MessageHeader copy;
    std::memcpy(&copy, header, sizeof(copy));
    return copy;
  }
  void store_header(const MessageHeader& value) { std::memcpy(header, &value, sizeof(value)); }
};

// A field as Python sees it: a data descriptor.
struct FieldObject {
  PyObject_HEAD FieldLayout layout;
  PyObject* name;
  PyTypeObject* owner;   // borrowed: the class holds the field
  PyTypeObject* nested;  // of kStruct, owned
  PyObject* dtype;       // NumPy dtype of the elements, made when first needed
  bool required;
};

// One per message class, as its attribute `__rk_layout__`.
struct LayoutObject {
  PyObject_HEAD std::shared_ptr<const MessageLayout> layout;
  std::vector<FieldObject*> fields;  // owned
  std::vector<std::byte> defaults;   // wire bytes of an instance before its arguments
};

extern PyTypeObject MessageType;
extern PyTypeObject FieldType;
extern PyTypeObject LayoutType;
extern PyTypeObject HeaderType;

inline bool is_message(PyObject* object) { return PyObject_TypeCheck(object, &MessageType) != 0; }

// nullptr with TypeError set when `type` is no message class.
LayoutObject* layout_of(PyTypeObject* type);

// New instances: blank (defaults), a copy of wire bytes, or a view of foreign bytes that `owner` keeps.
MessageObject* new_message(PyTypeObject* type, const LayoutObject& layout, const std::byte* payload);
MessageObject* new_view(PyTypeObject* type, std::byte* payload, PyObject* owner);

// Ends a view. False with BufferError set while something still points into it.
bool end_view(MessageObject* view);

// False with ReleasedError set when the view has ended.
bool alive(MessageObject* message);

// field.cc
PyObject* get_field(FieldObject* field, MessageObject* message);
bool set_field(FieldObject* field, MessageObject* message, PyObject* value);
bool set_field_at(FieldObject* field, std::byte* payload, PyObject* value);

// Registers a buffer export with its message and undoes that when it dies.
PyObject* new_export(MessageObject* message);

void ready_types();

}  // namespace rk::py
