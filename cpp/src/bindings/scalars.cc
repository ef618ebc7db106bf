#include "scalars.h"

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

namespace rk::py {
namespace {

template <class T>
T load(const std::byte* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

bool wrong_type(PyObject* name, const char* needed, PyObject* value) {
  PyErr_Clear();
  raise("FieldTypeError", "%U: found %R (%s), need %s", name, value, Py_TYPE(value)->tp_name, needed);
  return false;
}

bool out_of_range(PyObject* name, Scalar kind, PyObject* value) {
  PyErr_Clear();
  raise("FieldRangeError", "%U: %R does not fit %s", name, value, scalar_name(kind));
  return false;
}

template <class T>
bool store_integer(Scalar kind, std::byte* to, PyObject* value, PyObject* name) {
  PyObject* index = PyLong_CheckExact(value) ? Py_NewRef(value) : PyNumber_Index(value);
  if (index == nullptr) return wrong_type(name, "an int", value);
  int overflow = 0;
  const long long wide = PyLong_AsLongLongAndOverflow(index, &overflow);
  bool fits =
      overflow == 0 &&
      (std::is_unsigned_v<T> ? wide >= 0 && static_cast<unsigned long long>(wide) <= std::numeric_limits<T>::max()
                             : wide >= static_cast<long long>(std::numeric_limits<T>::min()) &&
                                   wide <= static_cast<long long>(std::numeric_limits<T>::max()));
  T narrow = static_cast<T>(wide);
  if (std::is_same_v<T, std::uint64_t> && overflow > 0) {
    narrow = static_cast<T>(PyLong_AsUnsignedLongLong(index));
    fits = PyErr_Occurred() == nullptr;
  }
  Py_DECREF(index);
  if (!fits) return out_of_range(name, kind, value);
  std::memcpy(to, &narrow, sizeof(T));
  return true;
}

// IEEE 754 binary16, round to nearest even.
std::uint16_t half_from_double(double value) {
  const auto bits = std::bit_cast<std::uint64_t>(value);
  const auto sign = static_cast<std::uint16_t>((bits >> 48) & 0x8000u);
  if (std::isnan(value)) return sign | 0x7E00u;
  const double magnitude = std::fabs(value);
  if (magnitude >= 65520.0) return sign | 0x7C00u;
  int exponent = 0;
  std::frexp(magnitude, &exponent);
  const int scale = exponent - 11 < -24 ? -24 : exponent - 11;  // the weight of the last bit
  const double steps = std::nearbyint(std::ldexp(magnitude, -scale));
  const auto count = static_cast<std::uint32_t>(steps);
  if (count < 1024) return static_cast<std::uint16_t>(sign | count);  // subnormal, or zero
  const auto biased = static_cast<std::uint32_t>(scale + 25);
  return static_cast<std::uint16_t>(sign | ((biased << 10) + (count - 1024)));
}

double double_from_half(std::uint16_t half) {
  const int exponent = (half >> 10) & 31;
  const int mantissa = half & 1023;
  const double sign = (half & 0x8000u) != 0 ? -1.0 : 1.0;
  if (exponent == 31) return mantissa != 0 ? std::nan("") : sign * std::numeric_limits<double>::infinity();
  return sign * (exponent == 0 ? std::ldexp(mantissa, -24) : std::ldexp(1024 + mantissa, exponent - 25));
}

bool store_float(Scalar kind, std::byte* to, PyObject* value, PyObject* name) {
  const double wide = PyFloat_CheckExact(value) ? PyFloat_AS_DOUBLE(value) : PyFloat_AsDouble(value);
  if (wide == -1.0 && PyErr_Occurred() != nullptr) {
    return PyErr_ExceptionMatches(PyExc_OverflowError) ? out_of_range(name, kind, value)
                                                       : wrong_type(name, "a float", value);
  }
  if (kind == Scalar::kF64) {
    std::memcpy(to, &wide, sizeof(wide));
    return true;
  }
  if (kind == Scalar::kF32) {
    const auto narrow = static_cast<float>(wide);
    if (std::isinf(narrow) && !std::isinf(wide)) return out_of_range(name, kind, value);
    std::memcpy(to, &narrow, sizeof(narrow));
    return true;
  }
  const std::uint16_t half = half_from_double(wide);
  if ((half & 0x7FFFu) == 0x7C00u && !std::isinf(wide)) return out_of_range(name, kind, value);
  std::memcpy(to, &half, sizeof(half));
  return true;
}

bool store_bool(std::byte* to, PyObject* value, PyObject* name) {
  const bool numpy_bool = std::strncmp(Py_TYPE(value)->tp_name, "numpy.bool", 10) == 0;
  if (!PyBool_Check(value) && !numpy_bool) return wrong_type(name, "a bool", value);
  *to = std::byte{PyObject_IsTrue(value) == 1};
  return true;
}

bool store_bytes(std::byte* to, std::uint32_t size, PyObject* value, PyObject* name) {
  Py_buffer buffer;
  if (PyUnicode_Check(value) || PyObject_GetBuffer(value, &buffer, PyBUF_SIMPLE) != 0) {
    return wrong_type(name, "bytes", value);
  }
  const auto length = static_cast<std::size_t>(buffer.len);
  if (length <= size) {
    std::memcpy(to, buffer.buf, length);
    std::memset(to + length, 0, size - length);
  }
  PyBuffer_Release(&buffer);
  if (length > size) raise("FieldRangeError", "%U: found %zu bytes, the field holds %u", name, length, size);
  return length <= size;
}

}  // namespace

const char* scalar_name(Scalar kind) {
  static constexpr const char* kNames[] = {"bool", "i8",  "i16", "i32", "i64", "u8",    "u16",
                                           "u32",  "u64", "f16", "f32", "f64", "Bytes", "struct"};
  return kNames[static_cast<int>(kind)];
}

PyObject* load_scalar(Scalar kind, const std::byte* from, std::uint32_t size) {
  switch (kind) {
    case Scalar::kBool:
      return PyBool_FromLong(*from != std::byte{0});
    case Scalar::kI8:
      return PyLong_FromLong(load<std::int8_t>(from));
    case Scalar::kI16:
      return PyLong_FromLong(load<std::int16_t>(from));
    case Scalar::kI32:
      return PyLong_FromLong(load<std::int32_t>(from));
    case Scalar::kI64:
      return PyLong_FromLongLong(load<std::int64_t>(from));
    case Scalar::kU8:
      return PyLong_FromLong(load<std::uint8_t>(from));
    case Scalar::kU16:
      return PyLong_FromLong(load<std::uint16_t>(from));
    case Scalar::kU32:
      return PyLong_FromLong(static_cast<long>(load<std::uint32_t>(from)));
    case Scalar::kU64:
      return PyLong_FromUnsignedLongLong(load<std::uint64_t>(from));
    case Scalar::kF16:
      return PyFloat_FromDouble(double_from_half(load<std::uint16_t>(from)));
    case Scalar::kF32:
      return PyFloat_FromDouble(static_cast<double>(load<float>(from)));
    case Scalar::kF64:
      return PyFloat_FromDouble(load<double>(from));
    case Scalar::kBytes:
      return PyBytes_FromStringAndSize(reinterpret_cast<const char*>(from), static_cast<Py_ssize_t>(size));
    case Scalar::kStruct:
      break;
  }
  return raise("FieldTypeError", "a nested message is no scalar");
}

bool store_scalar(Scalar kind, std::byte* to, std::uint32_t size, PyObject* value, PyObject* name) {
  switch (kind) {
    case Scalar::kBool:
      return store_bool(to, value, name);
    case Scalar::kI8:
      return store_integer<std::int8_t>(kind, to, value, name);
    case Scalar::kI16:
      return store_integer<std::int16_t>(kind, to, value, name);
    case Scalar::kI32:
      return store_integer<std::int32_t>(kind, to, value, name);
    case Scalar::kI64:
      return store_integer<std::int64_t>(kind, to, value, name);
    case Scalar::kU8:
      return store_integer<std::uint8_t>(kind, to, value, name);
    case Scalar::kU16:
      return store_integer<std::uint16_t>(kind, to, value, name);
    case Scalar::kU32:
      return store_integer<std::uint32_t>(kind, to, value, name);
    case Scalar::kU64:
      return store_integer<std::uint64_t>(kind, to, value, name);
    case Scalar::kF16:
    case Scalar::kF32:
    case Scalar::kF64:
      return store_float(kind, to, value, name);
    case Scalar::kBytes:
      return store_bytes(to, size, value, name);
    case Scalar::kStruct:
      break;
  }
  return wrong_type(name, "a message", value);
}

}  // namespace rk::py
