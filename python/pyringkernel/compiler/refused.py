"""What Python has and the language of compiled handlers has not: what to say, and what to write instead.

Keys are names of ast's classes, as some do not exist in every release of Python.
"""

from __future__ import annotations

_SPLIT = "decide with if and else before; count what must not be lost with ctx.report_error(code)"
_LOOP = "write a loop: for i in range(n): ..."
_DEVICE = "write a function of the module and decorate it with @rk.device"
_PLAIN = "a handler returns when it is done; to go on later, send a message to itself"
_TEXT = "use an int or an enum, bytes for an rk.Bytes field; text is for targets, topics and assert"

STATEMENTS: dict[str, tuple[str, str]] = {
    "FunctionDef": ("a nested function cannot be compiled", _DEVICE),
    "AsyncFunctionDef": ("a coroutine cannot be compiled", _PLAIN),
    "ClassDef": (
        "a class cannot be made in a compiled handler",
        "make it in the module, with @rk.message or @rk.state",
    ),
    "Delete": ("del cannot be compiled", "nothing needs to be deleted; v.clear() empties a Vec"),
    "TypeAlias": ("a type alias cannot be made in a compiled handler", "make it in the module"),
    "AsyncFor": ("async for cannot be compiled", _PLAIN),
    "With": ("with cannot be compiled", "nothing in a handler needs to be closed"),
    "AsyncWith": ("async with cannot be compiled", _PLAIN),
    "Raise": (
        "raise cannot be compiled",
        "use assert, which fails the message, or ctx.report_error(code), which counts",
    ),
    "Try": ("try cannot be compiled: nothing raises in a compiled handler", _SPLIT),
    "TryStar": ("try cannot be compiled: nothing raises in a compiled handler", _SPLIT),
    "Import": ("import cannot be compiled", "import at the top of the module"),
    "ImportFrom": ("import cannot be compiled", "import at the top of the module"),
    "Global": ("global variables cannot be assigned", "keep it in the state: state.x"),
    "Nonlocal": ("variables of an outer function cannot be assigned", "keep it in the state: state.x"),
}

EXPRESSIONS: dict[str, tuple[str, str]] = {
    "NamedExpr": ("an assignment inside of an expression cannot be compiled", "assign in a statement before"),
    "Lambda": ("a lambda cannot be compiled", _DEVICE),
    "Dict": ("a dict cannot be compiled", "use an array of the state, with the key as index"),
    "Set": ("a set cannot be compiled", "use the bits of an integer, or an array of rk.boolean"),
    "ListComp": ("a comprehension cannot be compiled", _LOOP),
    "SetComp": ("a comprehension cannot be compiled", _LOOP),
    "DictComp": ("a comprehension cannot be compiled", _LOOP),
    "GeneratorExp": ("a generator expression cannot be compiled", _LOOP),
    "Await": ("await cannot be compiled", _PLAIN),
    "Yield": ("a generator cannot be compiled", _PLAIN),
    "YieldFrom": ("a generator cannot be compiled", _PLAIN),
    "JoinedStr": ("text cannot be formatted in a compiled handler", _TEXT),
    "TemplateStr": ("text cannot be formatted in a compiled handler", _TEXT),
    "Starred": ("* cannot be compiled", "write each value"),
    "Slice": ("a slice cannot be compiled", "copy in a loop: for i in range(n): out.data[i] = msg.data[i]"),
}

OPERATORS: dict[str, tuple[str, str]] = {
    "MatMult": ("@ cannot be compiled", "write the loops of the product"),
    "Is": ("`is` cannot be compiled", "compare with ==; isinstance(msg, A) tells classes apart"),
    "IsNot": ("`is not` cannot be compiled", "compare with !=; not isinstance(msg, A) tells classes apart"),
    "In": ("`in` cannot be compiled", "write x in (a, b), or a loop over the array"),
    "NotIn": ("`not in` cannot be compiled", "write x not in (a, b), or a loop over the array"),
}

PATTERNS: dict[str, tuple[str, str]] = {
    "MatchSequence": ("a sequence cannot be matched", "match one number, or compare with if"),
    "MatchMapping": ("a mapping cannot be matched", "match one number, or compare with if"),
    "MatchStar": ("* cannot be matched", "match one number, or compare with if"),
}

TEXT = ("text is no value in a compiled handler", _TEXT)
BYTES = (
    "bytes cannot be used here",
    'give them to an rk.Bytes field: out.tag = b"abc"; or compare its elements, msg.tag[0] == 97',
)
NONE = ("None is no value in a compiled handler", "use a number or a flag that means `none`")
LIST = (
    "a list cannot be used here",
    "give it to an array field: out.data = [a, b]; rk.zeros(rk.f32, 8) makes a local array",
)
LOCAL_LIST = ("a list cannot be a local", "rk.zeros(rk.f32, 8) makes a local array; then set its elements")
TUPLE = ("a tuple cannot be used here", "use it to assign several names, a, b = b, a, and in x in (a, b)")

_NUMBER = "rk.i32, rk.i64, rk.u32 and others"
_REDUCE = "write a loop: for x in v: ..."

# Builtins whose call is refused, with what to write instead.
BUILTINS: dict[str, str] = {
    "print": "send a message to the host: ctx.send('host', Note(...)); or count with ctx.report_error(code)",
    "input": "messages are what comes into a handler",
    "open": "do it on the host, and send what was read",
    "eval": "write the expression",
    "exec": "write the statements",
    "compile": "write the statements",
    "int": f"name the width: {_NUMBER}",
    "float": "name the width: rk.f32 or rk.f64",
    "complex": "keep real and imaginary part in two fields",
    "str": _TEXT,
    "repr": _TEXT,
    "format": _TEXT,
    "ascii": _TEXT,
    "chr": _TEXT,
    "bytes": "use a field of rk.Bytes[n]",
    "bytearray": "use a field of rk.Bytes[n]",
    "memoryview": "read the elements: msg.data[i]",
    "list": "rk.zeros(rk.f32, 8) makes a local array",
    "tuple": "rk.zeros(rk.f32, 8) makes a local array",
    "dict": EXPRESSIONS["Dict"][1],
    "set": EXPRESSIONS["Set"][1],
    "frozenset": EXPRESSIONS["Set"][1],
    "sum": _REDUCE,
    "sorted": _REDUCE,
    "any": "write a loop with break; ctx.any(b) asks the warp",
    "all": "write a loop with break; ctx.all(b) asks the warp",
    "map": _REDUCE,
    "filter": _REDUCE,
    "zip": "write a loop over range(n), and index both",
    "enumerate": "write for i, x in enumerate(v): ...",
    "reversed": "count down: for i in range(n - 1, -1, -1)",
    "iter": _REDUCE,
    "next": _REDUCE,
    "slice": EXPRESSIONS["Slice"][1],
    "round": "math.floor(x + 0.5) rounds halves up",
    "divmod": "write a // b and a % b",
    "pow": "write a ** b, or math.pow(a, b) for floats",
    "type": "isinstance(msg, A) tells the classes of messages apart",
    "issubclass": "isinstance(msg, A) tells the classes of messages apart",
    "id": "nothing in a handler has an identity",
    "hash": "combine the fields with ^ and *",
    "getattr": "name the field: msg.x",
    "setattr": "name the field: state.x = y",
    "delattr": "name the field: state.x = 0",
    "hasattr": "isinstance(msg, A) tells the classes of messages apart",
    "callable": "name the function",
    "super": "handlers are plain functions",
    "vars": "name the fields",
    "dir": "name the fields",
    "locals": "name the variables",
    "globals": "name the variables",
    "object": "use a message or state class",
    "bin": _TEXT,
    "hex": _TEXT,
    "oct": _TEXT,
    "breakpoint": "decorate with compiled=False to debug it as Python",
    "exit": "ctx.request_termination() ends the kernel",
    "quit": "ctx.request_termination() ends the kernel",
    "__import__": STATEMENTS["Import"][1],
}
