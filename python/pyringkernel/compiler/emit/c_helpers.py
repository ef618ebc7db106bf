"""The helper functions of the generated text: each is written once, and only if something uses it.

They are what C leaves open or decides otherwise: wrapping of signed numbers, Python's // and %, masked shifts,
saturating casts, f16 by way of f32. All C-like targets share these texts; what differs is in prelude/.
"""

from __future__ import annotations

from pyringkernel.compiler.ir import Type

_SYMBOLS = {"add": "+", "sub": "-", "mul": "*", "and": "&", "or": "|", "xor": "^", "truediv": "/"}
_FLOAT_BITS = {Type.F16: Type.U16, Type.F32: Type.U32, Type.F64: Type.U64}


def wide(kind: Type) -> Type:
    """The unsigned type that integers of `kind` are calculated in: narrower ones become int in C."""
    return Type.U64 if kind.size == 8 else Type.U32


def lowest(kind: Type, long_suffix: str) -> str:
    """The least value of a signed type as text."""
    if kind is Type.I64:
        return f"(-9223372036854775807{long_suffix} - 1{long_suffix})"
    return f"(-{2 ** (kind.bits - 1) - 1} - 1)"


class Helpers:
    """Collects the texts that a program needs, callees first."""

    def __init__(self, call: str, long_suffix: str) -> None:
        self.texts: dict[str, str] = {}
        self._call = call
        self._ll = long_suffix

    def _add(self, name: str, result: str, parameters: str, *body: str) -> str:
        head = f"RK_INLINE {result} {name}({parameters}) {{"
        if len(body) == 1 and len(head) + len(body[0]) < 116:
            self.texts[name] = f"{head} {body[0]} }}"
        else:
            self.texts[name] = "\n".join([head, *(f"  {line}" for line in body), "}"])
        return name

    def _two(self, name: str, kind: Type, *body: str) -> str:
        return self._add(name, kind.text, f"{kind.text} a, {kind.text} b", *body)

    # -- integers

    def wrapping(self, op: str, kind: Type) -> str:
        """add, sub, mul of signed or narrow integers."""
        name, t, w = f"rk_{op}_{kind.text}", kind.text, wide(kind).text
        return self._two(name, kind, f"return ({t})(({w})a {_SYMBOLS[op]} ({w})b);")

    def negate(self, kind: Type) -> str:
        """-x; of floats by the sign bit, so that NaN is no exception."""
        name, t = f"rk_neg_{kind.text}", kind.text
        if kind.is_float:
            return self._sign_bit(name, kind, "^", 1 << (kind.bits - 1))
        w = wide(kind)
        zero = f"0u{self._ll}" if w is Type.U64 else "0u"
        return self._add(name, t, f"{t} x", f"return ({t})({zero} - ({w.text})x);")

    def absolute(self, kind: Type) -> str:
        """abs(x)"""
        name, t = f"rk_abs_{kind.text}", kind.text
        if kind.is_float:
            return self._sign_bit(name, kind, "&", (1 << (kind.bits - 1)) - 1)
        return self._add(name, t, f"{t} x", f"return x < 0 ? {self.negate(kind)}(x) : x;")

    def floordiv(self, kind: Type) -> str:
        """Towards minus infinity; 0 for a divisor of 0."""
        name = f"rk_floordiv_{kind.text}"
        if not kind.is_signed:
            return self._two(name, kind, f"return ({kind.text})(b == 0u ? 0u : a / b);")
        return self._two(
            name,
            kind,
            "if (b == 0) return 0;",
            f"if (b == -1) return {self.negate(kind)}(a);  // min / -1 traps or is undefined",
            f"return ({kind.text})(a / b - (a % b != 0 && (a < 0) != (b < 0) ? 1 : 0));",
        )

    def mod(self, kind: Type) -> str:
        """The sign is the divisor's; 0 for a divisor of 0."""
        name, t = f"rk_mod_{kind.text}", kind.text
        if not kind.is_signed:
            return self._two(name, kind, f"return ({t})(b == 0u ? 0u : a % b);")
        return self._two(
            name,
            kind,
            "if (b == 0 || b == -1) return 0;",
            f"const {t} left = ({t})(a % b);",
            f"return ({t})(left != 0 && (left < 0) != (b < 0) ? left + b : left);",
        )

    def shift(self, op: str, kind: Type) -> str:
        """By b & (width - 1); to the right with the sign."""
        name, t, w = f"rk_{op}_{kind.text}", kind.text, wide(kind).text
        by = f"(u32)b & {kind.bits - 1}u"
        value = f"({w})a << ({by})" if op == "shl" else f"a >> ({by})"
        return self._two(name, kind, f"return ({t})({value});")

    def bits(self, op: str, kind: Type) -> str:
        """popcount, clz and ctz: the prelude has those of 32 and 64 bits."""
        name, t = f"rk_{op}_{kind.text}", kind.text
        if kind.size >= 4:
            return name
        extra = {"popcount": "x", "clz": f"x) - ({32 - kind.bits}u", "ctz": f"x | {1 << kind.bits}u"}[op]
        return self._add(name, t, f"{t} x", f"return ({t})(rk_{op}_u32({extra}));")

    def trips(self, kind: Type) -> str:
        """How many items range() has."""
        name, t = f"rk_trips_{kind.text}", kind.text
        u = wide(kind).text
        zero, one = (f"0u{self._ll}", f"1u{self._ll}") if kind.size == 8 else ("0u", "1u")
        body = [f"if (step > 0 && start < stop) return (({u})stop - ({u})start - {one}) / ({u})step + {one};"]
        if kind.is_signed:
            down = f"(({u})start - ({u})stop - {one}) / ({zero} - ({u})step) + {one}"
            body.append(f"if (step < 0 && start > stop) return {down};")
        return self._add(name, u, f"{t} start, {t} stop, {t} step", *body, f"return {zero};")

    # -- floats

    def _sign_bit(self, name: str, kind: Type, symbol: str, mask: int) -> str:
        t = kind.text
        value = f"rk_bits_of_{t}(x) {symbol} {self._hex(mask, kind)}"
        return self._add(name, t, f"{t} x", f"return rk_{t}_of_bits(({_FLOAT_BITS[kind].text})({value}));")

    def _hex(self, value: int, kind: Type) -> str:
        return f"0x{value:0{2 * kind.size}X}u" + (self._ll if kind.size == 8 else "")

    def copysign(self, kind: Type) -> str:
        """a with the sign of b."""
        t, sign = kind.text, 1 << (kind.bits - 1)
        rest, taken = self._hex(sign - 1, kind), self._hex(sign, kind)
        value = f"(rk_bits_of_{t}(a) & {rest}) | (rk_bits_of_{t}(b) & {taken})"
        return self._two(f"rk_copysign_{t}", kind, f"return rk_{t}_of_bits(({_FLOAT_BITS[kind].text})({value}));")

    def float_unary(self, op: str, kind: Type) -> str:
        """floor to cbrt: the prelude has those of f32 and f64."""
        name = f"rk_{op}_{kind.text}"
        if kind is Type.F16:
            self._add(name, "f16", "f16 x", f"return rk_f16_of_f32(rk_{op}_f32(rk_f32_of_f16(x)));")
        return name

    def float_binary(self, op: str, kind: Type) -> str:
        """Arithmetic of f16 (f32 has more than twice its digits, so rounding twice does no harm), and the functions."""
        name = f"rk_{op}_{kind.text}"
        if kind is Type.F16:
            a, b = "rk_f32_of_f16(a)", "rk_f32_of_f16(b)"
            value = f"{a} {_SYMBOLS[op]} {b}" if op in _SYMBOLS else f"rk_{op}_f32({a}, {b})"
            self._two(name, kind, f"return rk_f16_of_f32({value});")
        return name

    def extreme(self, op: str, kind: Type) -> str:
        """min and max as Python has them: the left one, unless the right one is less (more)."""
        a, b = ("rk_f32_of_f16(a)", "rk_f32_of_f16(b)") if kind is Type.F16 else ("a", "b")
        return self._two(f"rk_{op}_{kind.text}", kind, f"return {b} {'<' if op == 'min' else '>'} {a} ? b : a;")

    def test(self, op: str, kind: Type) -> str:
        """is_nan, is_inf, is_finite, by the bits."""
        t = kind.text
        digits = {Type.F16: 10, Type.F32: 23, Type.F64: 52}[kind]
        infinite = self._hex(((1 << (kind.bits - 1 - digits)) - 1) << digits, kind)
        symbol = {"is_nan": ">", "is_inf": "==", "is_finite": "<"}[op]
        magnitude = f"(rk_bits_of_{t}(x) & {self._hex((1 << (kind.bits - 1)) - 1, kind)})"
        return self._add(f"rk_{op}_{t}", "bool", f"{t} x", f"return {magnitude} {symbol} {infinite};")

    # -- casts

    def to_integer(self, kind: Type, source: Type) -> str:
        """From f32 or f64: towards zero, saturating, 0 for NaN."""
        t, s = kind.text, source.text
        suffix = "f" if source is Type.F32 else ""
        bits = kind.bits - (1 if kind.is_signed else 0)
        top = f"{2**bits - 1}" + ("" if kind.is_signed else "u") + (self._ll if kind.size == 8 else "")
        least = f"x <= -{2**bits}.0{suffix} ? {lowest(kind, self._ll)}" if kind.is_signed else f"x <= 0.0{suffix} ? 0"
        return self._add(
            f"rk_{t}_of_{s}",
            t,
            f"{s} x",
            "if (!(x == x)) return 0;",
            f"return ({t})(x >= {2**bits}.0{suffix} ? {top} : {least} : ({t})x);",
        )

    def f16_of_f64(self) -> str:
        """By way of f32 rounded to odd, so that the second rounding sees what the first one dropped."""
        return self._add(
            "rk_f16_of_f64",
            "f16",
            "f64 x",
            "const f32 near = (f32)x;",
            "u32 bits = rk_bits_of_f32(near);",
            "if ((f64)near != x && x == x) {",
            "  const bool above = x > 0.0 ? (f64)near > x : (f64)near < x;",
            "  bits = (above ? bits - 1u : bits) | 1u;",
            "}",
            "return rk_f16_of_f32(rk_f32_of_bits(bits));",
        )

    # -- memory

    def copy(self, word: Type, same_root: bool) -> str:
        """Copies words; within one memory the two may overlap."""
        w, n = word.text, word.size
        name = f"rk_{'move' if same_root else 'copy'}_{w}"
        forward = f"for (u32 at = 0u; at < size; at += {n}u) rk_store_{w}(target + at, rk_load_{w}(source + at));"
        back = f"for (u32 at = size; at != 0u; at -= {n}u) rk_store_{w}(target + at - {n}, rk_load_{w}(source + at - {n}));"
        body = (forward,) if not same_root else ("if (target < source) {", f"  {forward}", "} else {", f"  {back}", "}")
        self._add(name, "void", "T target, S source, u32 size", *body)
        self.texts[name] = f"template <typename T, typename S>\n{self.texts[name]}"
        return name

    def zero(self, word: Type) -> str:
        """Stores zeros."""
        w, n = word.text, word.size
        name = f"rk_zero_{w}"
        self._add(
            name,
            "void",
            "T target, u32 size",
            f"for (u32 at = 0u; at < size; at += {n}u) rk_store_{w}(target + at, ({w})0);",
        )
        self.texts[name] = f"template <typename T>\n{self.texts[name]}"
        return name

    # -- warps

    def lane(self, op: str) -> str:
        """The lane that a shuffle takes from; one that is not there means the thread's own value."""
        value = {
            "shuffle_up": "n <= lane ? lane - n : lane",
            "shuffle_down": "n < 32u ? lane + n : lane",
            "shuffle_xor": "n < 32u ? lane ^ n : lane",
        }[op]
        return self._add(
            f"rk_lane_{op.removeprefix('shuffle_')}",
            "u32",
            f"{self._call} call, u32 n",
            "const u32 lane = rk_lane_id(call);",
            f"return {value};",
        )

    def shuffle(self, kind: Type) -> str:
        """The value of another lane: the prelude has that of u32."""
        t, name = kind.text, f"rk_shuffle_{kind.text}"
        if kind is Type.U32:
            return name
        parameters = f"{self._call} call, {t} value, u32 lane"
        if kind.size == 8:
            bits = "rk_bits_of_f64(value)" if kind is Type.F64 else "(u64)value"
            joined = "(u64)high << 32 | (u64)low"
            result = f"rk_f64_of_bits({joined})" if kind is Type.F64 else f"({t})({joined})"
            return self._add(
                name,
                t,
                parameters,
                f"const u64 bits = {bits};",
                "const u32 low = rk_shuffle_u32(call, (u32)bits, lane);",
                "const u32 high = rk_shuffle_u32(call, (u32)(bits >> 32), lane);",
                f"return {result};",
            )
        if kind.is_float:
            other = f"rk_shuffle_u32(call, rk_bits_of_{t}(value), lane)"
            return self._add(name, t, parameters, f"return rk_{t}_of_bits(({_FLOAT_BITS[kind].text}){other});")
        return self._add(name, t, parameters, f"return ({t})rk_shuffle_u32(call, (u32)value, lane);")

    def reduce(self, op: str, kind: Type, joined: str) -> str:
        """A tree towards lane 0, whose result all get; `joined`: of a `value` and an `other`."""
        t, shuffle = kind.text, self.shuffle(kind)
        return self._add(
            f"rk_{op}_{t}",
            t,
            f"{self._call} call, {t} value",
            "const u32 lane = rk_lane_id(call);",
            "for (u32 step = 16u; step != 0u; step >>= 1) {",
            f"  const {t} other = {shuffle}(call, value, lane + step);",
            f"  if (lane + step < rk_warp_lanes(call)) value = {joined};",
            "}",
            f"return {shuffle}(call, value, 0u);",
        )
