// Whether bytes that were written with one layout may be read with another.
#include <algorithm>

#include "ringkernel/runtime/checkpoint.h"

namespace rk {

u64 LayoutInfo::hash() const {
  if (size == 0 && fields.empty()) return 0;
  u64 value = 0xCBF29CE484222325;
  const auto byte = [&](u32 b) { value = (value ^ (b & 0xFF)) * 0x100000001B3; };
  const auto number = [&](u32 n) {
    for (int shift = 0; shift < 32; shift += 8) byte(n >> shift);
  };
  const auto text = [&](const std::string& s) {
    number(static_cast<u32>(s.size()));
    for (const char c : s) byte(static_cast<unsigned char>(c));
  };
  number(size);
  for (const FieldInfo& field : fields) {
    text(field.name);
    text(field.type);
    number(field.offset);
    number(field.size);
  }
  return value == 0 ? 1 : value;
}

std::string first_difference(const LayoutInfo& found, const LayoutInfo& needed) {
  const auto place = [](const FieldInfo& field) { return field.type + " at " + std::to_string(field.offset); };
  const auto has = [](const LayoutInfo& layout, const std::string& name) {
    return std::any_of(layout.fields.begin(), layout.fields.end(), [&](const auto& f) { return f.name == name; });
  };
  const auto extra = [&](const FieldInfo& f) { return "field '" + f.name + "': found " + place(f) + ", need none"; };
  for (std::size_t i = 0; i < needed.fields.size(); ++i) {
    const FieldInfo& need = needed.fields[i];
    const std::string field = "field '" + need.name + "': found ";
    if (i >= found.fields.size()) return field + "none, need " + place(need);
    const FieldInfo& have = found.fields[i];
    if (have.name != need.name) {
      if (!has(found, need.name)) return field + "none, need " + place(need);
      if (!has(needed, have.name)) return extra(have);
      return field + "another order of fields, need it as number " + std::to_string(i + 1) + ", " + place(need);
    }
    if (have.type != need.type || have.offset != need.offset) return field + place(have) + ", need " + place(need);
    if (have.size != need.size) {
      return field + std::to_string(have.size) + " bytes, need " + std::to_string(need.size) + " bytes";
    }
  }
  if (found.fields.size() > needed.fields.size()) return extra(found.fields[needed.fields.size()]);
  if (found.size == needed.size) return "";
  return "size: found " + std::to_string(found.size) + " bytes, need " + std::to_string(needed.size) + " bytes";
}

}  // namespace rk
