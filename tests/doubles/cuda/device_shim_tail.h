// What needs types of the text: comes behind it.
#pragma once

inline float rk_f32_of_f16(f16 x) { return static_cast<float>(rk_double_bits<_Float16>(x.bits)); }
inline f16 rk_f16_of_f32(float x) { return f16{rk_double_bits<unsigned short>(static_cast<_Float16>(x))}; }
