"""The cache of machine code: what is put is got, by other processes too; what is damaged or not ours is never used."""

from __future__ import annotations

import os
import resource
import stat
import struct
import subprocess
import sys
import tempfile
import textwrap
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from harness import run_native
from scalar_programs import at, const, function, program

from pyringkernel.compiler import cache as module
from pyringkernel.compiler import ir, llvm
from pyringkernel.compiler.cache import CompileCache, default_cache, default_path, key_of

KEY, OTHER = key_of(["one"]), key_of(["two"])
NOBODY = 65534
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


@pytest.fixture
def store(tmp_path: Path) -> CompileCache:
    return CompileCache(str(tmp_path / "cache"))


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "pyringkernel"]


def entry(store: CompileCache, key: str = KEY) -> Path:
    return Path(store.path) / f"{key}.rkc"


# -- keys, places -----------------------------------------------------------------------------------------------------


def test_keys_differ_in_every_part_and_in_where_a_part_ends() -> None:
    parts = [["ab", "c"], ["a", "bc"], ["abc"], ["abc", ""], ["", "abc"], ["ab", "d"], [b"ab", "c", "c"]]
    keys = {key_of(part) for part in parts}
    assert len(keys) == len(parts)
    assert key_of(["ab"]) == key_of([b"ab"])


def test_the_place_is_chosen_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/somebody")
    monkeypatch.delenv("PYRINGKERNEL_CACHE_DIR", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    assert default_path() == "/home/somebody/.cache/pyringkernel"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert default_path() == "/home/somebody/.cache/pyringkernel"
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert default_path() == "/xdg/pyringkernel"
    monkeypatch.setenv("PYRINGKERNEL_CACHE_DIR", "/chosen")
    assert default_path() == "/chosen"
    chosen = default_cache()
    assert chosen is not None
    assert default_cache() is chosen
    monkeypatch.setenv("PYRINGKERNEL_CACHE_DIR", "")
    assert default_path() is None
    assert default_cache() is None


def test_what_is_put_is_got_and_only_we_can_read_it(store: CompileCache) -> None:
    assert store.get(KEY) is None
    store.put(KEY, b"code" * 1000)
    store.put(OTHER, b"")
    assert store.get(KEY) == b"code" * 1000
    assert store.get(OTHER) == b""
    assert stat.S_IMODE(os.stat(store.path).st_mode) == 0o700
    assert stat.S_IMODE(entry(store).stat().st_mode) == 0o600
    store.put(KEY, b"newer")
    assert CompileCache(store.path).get(KEY) == b"newer"
    assert sorted(os.listdir(store.path)) == sorted(f"{key}.rkc" for key in (KEY, OTHER))


def test_missing_parents_are_made_for_us_alone(tmp_path: Path) -> None:
    store = CompileCache(str(tmp_path / "a" / "b"))
    store.put(KEY, b"x")
    assert stat.S_IMODE((tmp_path / "a").stat().st_mode) == 0o700
    assert store.get(KEY) == b"x"


# -- damage -----------------------------------------------------------------------------------------------------------


def _flip(data: bytes, index: int) -> bytes:
    return data[:index] + bytes([data[index] ^ 0x40]) + data[index + 1 :]


@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"",
        lambda data: data[:7],
        lambda data: data[:79],
        lambda data: data[:-1],
        lambda data: data + b"\0",
        lambda data: _flip(data, 0),
        lambda data: _flip(data, 7),
        lambda data: _flip(data, 8),
        lambda data: _flip(data, 40),
        lambda data: _flip(data, 48),
        lambda data: _flip(data, len(data) - 1),
        lambda data: bytes(len(data)),
    ],
    ids=[
        "empty",
        "magic",
        "head",
        "short",
        "long",
        "magic-bit",
        "version-bit",
        "key-bit",
        "length-bit",
        "hash-bit",
        "body-bit",
        "zeros",
    ],
)
def test_a_damaged_entry_is_a_miss_and_is_replaced(store: CompileCache, damage: Callable[[bytes], bytes]) -> None:
    store.put(KEY, b"the code")
    path = entry(store)
    path.write_bytes(damage(path.read_bytes()))
    assert store.get(KEY) is None
    store.put(KEY, b"the code")
    assert store.get(KEY) == b"the code"


def test_an_entry_under_another_key_is_a_miss(store: CompileCache) -> None:
    store.put(KEY, b"of one")
    os.rename(entry(store), entry(store, OTHER))
    assert store.get(OTHER) is None


def test_what_is_no_file_is_a_miss_and_never_waited_for(store: CompileCache, tmp_path: Path) -> None:
    store.put(OTHER, b"elsewhere")
    os.mkfifo(entry(store))
    assert store.get(KEY) is None
    os.unlink(entry(store))
    entry(store).mkdir()
    assert store.get(KEY) is None
    store.put(KEY, b"x")  # cannot replace a folder
    assert store.get(KEY) is None


def test_a_link_in_place_of_an_entry_is_not_followed_but_replaced(store: CompileCache, tmp_path: Path) -> None:
    store.put(KEY, b"good")
    outside = tmp_path / "outside"
    os.rename(entry(store), outside)
    os.symlink(outside, entry(store))
    assert store.get(KEY) is None
    before = outside.read_bytes()
    store.put(KEY, b"new")
    assert store.get(KEY) == b"new"
    assert outside.read_bytes() == before


def test_an_entry_that_others_may_write_is_a_miss(store: CompileCache) -> None:
    store.put(KEY, b"x")
    os.chmod(entry(store), 0o620)
    assert store.get(KEY) is None


def test_an_entry_too_large_is_not_read(store: CompileCache) -> None:
    store.put(KEY, b"x")
    with open(entry(store), "ab") as file:
        file.truncate(module._MAX_ENTRY_BYTES + 4096)
    assert store.get(KEY) is None


# -- whose folder -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [0o770, 0o707, 0o777, 0o1777])
def test_a_folder_that_others_may_write_is_refused_with_one_warning(
    store: CompileCache, mode: int, caplog: pytest.LogCaptureFixture
) -> None:
    store.put(KEY, b"x")
    os.chmod(store.path, mode)
    assert store.get(KEY) is None
    store.put(OTHER, b"y")
    assert not entry(store, OTHER).exists()
    assert len(told(caplog)) == 1
    assert "can be written to by other users" in told(caplog)[0]


@needs_root
def test_what_belongs_to_somebody_else_is_refused(store: CompileCache, caplog: pytest.LogCaptureFixture) -> None:
    store.put(KEY, b"x")
    os.chown(entry(store), NOBODY, NOBODY)
    assert store.get(KEY) is None
    store.put(KEY, b"ours")
    assert store.get(KEY) == b"ours"
    os.chown(store.path, NOBODY, NOBODY)
    assert store.get(KEY) is None
    assert "belongs to user 65534" in told(caplog)[0]


@needs_root
def test_a_link_of_somebody_else_on_the_way_is_refused_and_one_of_ours_is_not(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "real").mkdir(mode=0o700)
    os.symlink(tmp_path / "real", tmp_path / "link")
    for path in (tmp_path / "link", tmp_path / "link" / "below"):
        store = CompileCache(str(path))
        store.put(KEY, b"x")
        assert store.get(KEY) == b"x"
    os.chown(tmp_path / "link", NOBODY, NOBODY, follow_symlinks=False)
    for path in (tmp_path / "link", tmp_path / "link" / "below"):
        assert CompileCache(str(path)).get(KEY) is None
    assert [text for text in told(caplog) if "is a link that belongs to user 65534" in text] == told(caplog)
    assert len(told(caplog)) == 2


def test_a_file_in_place_of_the_folder_is_no_error(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "cache").write_text("")
    for path in ("cache", "cache/below"):
        store = CompileCache(str(tmp_path / path))
        store.put(KEY, b"x")
        assert store.get(KEY) is None
    assert len(told(caplog)) == 2


# -- no room ----------------------------------------------------------------------------------------------------------


def start(text: str, *arguments: str) -> subprocess.Popen[str]:
    """A script with `store` and KEY, in a process of its own."""
    head = f"""
        import os, resource, sys
        from pyringkernel.compiler.cache import CompileCache
        store, KEY = CompileCache(sys.argv[1]), {KEY!r}
    """
    command = [sys.executable, "-c", textwrap.dedent(head) + textwrap.dedent(text), *arguments]
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(path for path in sys.path if path)}
    return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def in_process(text: str, *arguments: str) -> str:
    """What the script prints."""
    process = start(text, *arguments)
    output, errors = process.communicate()
    assert process.returncode == 0, errors
    return output


def test_a_full_disk_leaves_nothing_behind(store: CompileCache) -> None:
    store.put(OTHER, b"before")
    text = """
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
        store.put(KEY, bytes(5000))
        print(store.get(KEY), len(os.listdir(store.path)))
    """
    assert in_process(text, store.path).split() == ["None", "1"]
    assert store.get(OTHER) == b"before"
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[0] != 1000


@needs_root
def test_a_folder_that_cannot_be_written_still_gives_what_it_has() -> None:
    with tempfile.TemporaryDirectory() as folder:  # tmp_path is in a folder that only its owner may enter
        os.chmod(folder, 0o711)
        _read_as_nobody(CompileCache(os.path.join(folder, "cache")))


def _read_as_nobody(store: CompileCache) -> None:
    store.put(KEY, b"x")
    for path in (store.path, entry(store)):
        os.chown(path, NOBODY, NOBODY)
    os.chmod(store.path, 0o500)
    text = f"""
        import hashlib  # before the rights to read its file are gone
        os.seteuid({NOBODY})
        store.put({OTHER!r}, b"y")
        print(store.get(KEY), store.get({OTHER!r}))
    """
    assert in_process(text, store.path).split() == ["b'x'", "None"]


# -- limits -----------------------------------------------------------------------------------------------------------


def test_the_entries_not_used_for_longest_are_removed(tmp_path: Path) -> None:
    store = CompileCache(str(tmp_path), max_entries=10)
    keys = [key_of([str(number)]) for number in range(11)]
    for number, key in enumerate(keys[:10]):
        store.put(key, b"x")
        os.utime(entry(store, key), (1000 + number, 1000 + number))
    assert store.get(keys[0]) == b"x"  # used just now
    store.put(keys[10], b"x")
    assert len(os.listdir(tmp_path)) == 9
    assert [key for key in keys if not entry(store, key).exists()] == [keys[1], keys[2]]


def test_the_bytes_are_limited_and_counted_with_what_was_there(tmp_path: Path) -> None:
    first = CompileCache(str(tmp_path), max_bytes=1 << 20)
    for number in range(20):
        first.put(key_of([str(number)]), bytes(40_000))
    store = CompileCache(str(tmp_path), max_bytes=100_000)
    for number in range(20, 40):
        store.put(key_of([str(number)]), bytes(40_000))
        assert sum(file.stat().st_size for file in tmp_path.iterdir()) <= 100_000
    assert store.get(key_of(["39"])) == bytes(40_000)
    store.put(KEY, bytes(200_000))  # more than all of it
    assert store.get(KEY) is None
    assert store.get(key_of(["39"])) == bytes(40_000)


def test_what_dead_writers_left_is_removed(store: CompileCache) -> None:
    store.put(KEY, b"x")
    old, young = (Path(store.path) / name for name in (".old", ".young"))
    for path in (old, young):
        path.write_bytes(b"half")
    long_ago = time.time() - 2 * module._ABANDONED_SECONDS
    os.utime(old, (long_ago, long_ago))
    CompileCache(store.path).put(OTHER, b"y")
    assert not old.exists()
    assert young.exists()


# -- processes at once ------------------------------------------------------------------------------------------------


def test_eight_processes_that_write_and_read_never_see_half_an_entry(store: CompileCache) -> None:
    text = """
        import hashlib, random
        from pyringkernel.compiler.cache import key_of
        me, hits = int(sys.argv[2]), 0
        store.max_entries = 6  # so that entries are removed meanwhile
        chance = random.Random(me)
        for turn in range(300):
            number = chance.randrange(8)
            key = key_of([str(number)])
            found = store.get(key)
            if found is not None:
                body, digest = found[:-32], found[-32:]
                assert hashlib.sha256(body).digest() == digest
                assert body[:1] == bytes([number])
                hits += 1
            body = bytes([number]) + chance.randbytes(chance.randrange(200_000))
            store.put(key, body + hashlib.sha256(body).digest())
        print(hits)
    """
    running = [start(text, store.path, str(me)) for me in range(8)]
    results = [process.communicate() for process in running]
    assert [process.returncode for process in running] == [0] * 8, results
    assert all(error == "" for _, error in results), results  # no warning either
    assert sum(int(output) for output, _ in results) > 0
    assert not [name for name in os.listdir(store.path) if name.startswith(".")]


# -- with the compiler ------------------------------------------------------------------------------------------------


def adding(number: int) -> ir.Program:
    place = at(ir.Root.STATE, 0)
    total = ir.Binary(ir.Type.U32, ir.BinaryOp.ADD, ir.Load(ir.Type.U32, place), const(ir.Type.U32, number))
    return program(function(ir.Store(place, total)))


def result_of(native: object, made: ir.Program) -> int:
    state = run_native(native.entries, made, [(0, bytes(16))]).state  # type: ignore[attr-defined]
    return int(struct.unpack_from("<I", state)[0])


def test_machine_code_comes_from_the_cache_the_second_time(store: CompileCache) -> None:
    pytest.importorskip("llvmlite")
    made = adding(5)
    first = llvm.compile_native(made, cache=store)
    second = llvm.compile_native(made, cache=CompileCache(store.path))
    other = llvm.compile_native(adding(6), cache=store)
    assert [native.from_cache for native in (first, second, other)] == [False, True, False]
    assert [result_of(native, adding(0)) for native in (first, second, other)] == [5, 5, 6]
    assert first.text == second.text
    assert not llvm.compile_native(made, cache=False).from_cache


def test_the_default_cache_is_used_unless_switched_off(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("llvmlite")
    monkeypatch.setenv("PYRINGKERNEL_CACHE_DIR", str(tmp_path / "chosen"))
    assert [llvm.compile_native(adding(7)).from_cache for _ in range(2)] == [False, True]
    monkeypatch.setenv("PYRINGKERNEL_CACHE_DIR", "")
    assert not llvm.compile_native(adding(7)).from_cache


def test_code_that_cannot_be_linked_is_compiled_anew(store: CompileCache, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("llvmlite")
    made = adding(9)
    llvm.compile_native(made, cache=store)
    (path,) = Path(store.path).iterdir()
    for body in (b"", b"no object", path.read_bytes()[80 : 80 + 200]):
        store.put(path.stem, body)  # whole, under the right key, and nonsense
        native = llvm.compile_native(made, cache=store)
        assert not native.from_cache
        assert result_of(native, made) == 9
        assert llvm.compile_native(made, cache=store).from_cache
    assert capfd.readouterr() == ("", "")


def test_the_key_has_all_that_the_code_depends_on(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("llvmlite")
    target = llvm.Target("triple", "cpu", "features")
    keys = {llvm._key("text", target)}
    keys.add(llvm._key("other", target))
    for changed in (("t", "cpu", "features"), ("triple", "c", "features"), ("triple", "cpu", "f")):
        keys.add(llvm._key("text", llvm.Target(*changed)))
    for name in ("RK_COMPILED_VERSION", "IR_VERSION", "OPTIMIZATION_LEVEL"):
        with monkeypatch.context() as patch:
            patch.setattr(llvm, name, 99)
            keys.add(llvm._key("text", target))
    with monkeypatch.context() as patch:
        patch.setattr(llvm, "_llvmlite_version", lambda: "99")
        keys.add(llvm._key("text", target))
    with monkeypatch.context() as patch:
        patch.setattr("pyringkernel.__version__", "99")
        keys.add(llvm._key("text", target))
    assert len(keys) == 10
