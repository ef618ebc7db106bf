// Turns a Python class into a message class: layout, fields, defaults.
#include <pybind11/pybind11.h>

#include <new>

#include "bindings.h"
#include "message_object.h"

namespace rk::py {

void ready_message_type();
void ready_header_type();
void ready_field_types();
void adopt_message_class(PyTypeObject* type);

PyTypeObject LayoutType = blank_type();

namespace {

namespace py = pybind11;

void layout_dealloc(PyObject* self) {
  auto* layout = reinterpret_cast<LayoutObject*>(self);
  for (FieldObject* field : layout->fields) Py_DECREF(field);
  layout->layout.~shared_ptr();
  layout->fields.~vector();
  layout->defaults.~vector();
  Py_TYPE(self)->tp_free(self);
}

// (name, scalar, shape, offset, elements_offset, element_size, count, nested class or None, required)
FieldObject* make_field(PyTypeObject* owner, const py::tuple& row) {
  auto* field = reinterpret_cast<FieldObject*>(FieldType.tp_alloc(&FieldType, 0));
  if (field == nullptr) throw py::error_already_set();
  new (&field->layout) FieldLayout{};
  PyObject* name = row[0].cast<py::str>().release().ptr();
  PyUnicode_InternInPlace(&name);
  field->name = name;
  field->owner = owner;
  field->layout.scalar = static_cast<Scalar>(row[1].cast<int>());
  field->layout.shape = static_cast<Shape>(row[2].cast<int>());
  field->layout.offset = row[3].cast<std::uint32_t>();
  field->layout.elements_offset = row[4].cast<std::uint32_t>();
  field->layout.element_size = row[5].cast<std::uint32_t>();
  field->layout.count = row[6].cast<std::uint32_t>();
  if (!row[7].is_none()) {
    const py::object nested = row[7];
    field->nested = reinterpret_cast<PyTypeObject*>(py::object(nested).release().ptr());
    const LayoutObject* layout = layout_of(field->nested);
    if (layout == nullptr) throw py::error_already_set();
    field->layout.nested = layout->layout;
  }
  field->required = row[8].cast<bool>();
  return field;
}

void define_message(const py::type& cls, std::uint32_t type_id, std::uint32_t size, std::uint32_t align,
                    const py::list& rows) {
  auto* type = reinterpret_cast<PyTypeObject*>(cls.ptr());
  if (PyType_IsSubtype(type, &MessageType) == 0) throw py::type_error("not a subclass of Message");
  auto* self = reinterpret_cast<LayoutObject*>(LayoutType.tp_alloc(&LayoutType, 0));
  if (self == nullptr) throw py::error_already_set();
  new (&self->layout) std::shared_ptr<const MessageLayout>();
  new (&self->fields) std::vector<FieldObject*>();
  new (&self->defaults) std::vector<std::byte>(size, std::byte{0});
  const auto holder = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(self));
  auto layout = std::make_shared<MessageLayout>();
  layout->size = size;
  layout->align = align;
  layout->type_id = type_id;
  for (const py::handle row : rows) {
    self->fields.push_back(make_field(type, row.cast<py::tuple>()));
    layout->fields.push_back(self->fields.back()->layout);
    cls.attr(py::handle(self->fields.back()->name)) = py::handle(reinterpret_cast<PyObject*>(self->fields.back()));
  }
  self->layout = std::move(layout);
  cls.attr("__rk_layout__") = holder;
  adopt_message_class(type);
}

void set_default(const py::type& cls, const py::str& name, const py::object& value) {
  LayoutObject* layout = layout_of(reinterpret_cast<PyTypeObject*>(cls.ptr()));
  if (layout == nullptr) throw py::error_already_set();
  for (FieldObject* field : layout->fields) {
    if (PyUnicode_Compare(field->name, name.ptr()) != 0) continue;
    if (!set_field_at(field, layout->defaults.data(), value.ptr())) throw py::error_already_set();
  }
}

// An instance with every field zero: what a kernel's state begins as.
py::object zeroed(const py::type& cls) {
  auto* type = reinterpret_cast<PyTypeObject*>(cls.ptr());
  const LayoutObject* layout = layout_of(type);
  if (layout == nullptr) throw py::error_already_set();
  MessageObject* message = new_message(type, *layout, layout->defaults.data());
  if (message == nullptr) throw py::error_already_set();
  return py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(message));
}

}  // namespace

void bind_messages(py::module_& module) {
  ready_message_type();
  ready_header_type();
  ready_field_types();
  LayoutType.tp_name = "pyringkernel._core.Layout";
  LayoutType.tp_basicsize = sizeof(LayoutObject);
  LayoutType.tp_flags = Py_TPFLAGS_DEFAULT;
  LayoutType.tp_dealloc = layout_dealloc;
  if (PyType_Ready(&LayoutType) != 0) throw py::error_already_set();
  module.attr("Message") = py::handle(reinterpret_cast<PyObject*>(&MessageType));
  module.attr("MessageHeader") = py::handle(reinterpret_cast<PyObject*>(&HeaderType));
  module.attr("Field") = py::handle(reinterpret_cast<PyObject*>(&FieldType));
  module.def("define_message", &define_message);
  module.def("set_default", &set_default);
  module.def("zeroed", &zeroed);
}

}  // namespace rk::py
