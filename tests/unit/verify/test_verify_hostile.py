"""Files that were made to be read for ever, or to fill the memory: each ends soon, and with a finding where it lies.

ARRSTACK_FUZZ_EXAMPLES sets how many examples each fuzzer tries (300 without it); thousands are for a longer run by hand.
"""

import gzip
import io
import os
import struct
import sys
import tarfile
import threading
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from test_verify_images import Held
from verify_builders import LZ4, ZSTD, E, archive, bundle, container, elf, fatbin, library, raw_elf

from arrstack.artifacts.blob import BytesBlob
from arrstack.verify import verify
from arrstack.verify.library import read_library

MEGABYTE = 1 << 20
EXAMPLES = int(os.environ.get("ARRSTACK_FUZZ_EXAMPLES", "300"))


@contextmanager
def soon(seconds: float = 2.0) -> Iterator[None]:
    """Processor time: what these files are for takes minutes, and grows with the square of their size."""
    began = time.process_time()
    yield
    assert time.process_time() - began < seconds


def told(data: bytes, path: str = "libx.so") -> str:
    with soon():
        _, problems = read_library(path, BytesBlob(data))
    return "; ".join(f"{problem.level.value} {problem.message}" for problem in problems)


EMPTY_ENTRY = struct.pack("<HHIQIIHHIIIQQQ", 1, 0x101, 64, 0, 0, 0, 4, 8, 80, 0, 0, 0x11, 0, 0)


def test_a_table_of_versions_whose_entries_lie_over_each_other_is_an_error() -> None:
    count = 30_000
    aux = b"".join(struct.pack("<IHHII", 0, 0, 0, 1, 16) for _ in range(count))
    table = b"".join(struct.pack("<HHIII", 1, count, 1, (count - at) * 16, 16) for at in range(count))
    data = raw_elf([(".dynstr", 3, b"\0a\0", 0, 0, 2), (".gnu.version_r", 0x6FFFFFFE, table + aux, 1, count, 2)])
    assert "whose entries lie over each other" in told(data)


@pytest.mark.parametrize(
    ("strings", "message"),
    [
        (b"\0" + b"cu" * (MEGABYTE // 2), "has no end"),
        ((b"\0" + b"cu" * 30_000) * 17 + b"\0", "lie over each other"),
    ],
    ids=["no end", "long tails"],
)
def test_symbols_that_share_one_long_name_are_an_error(strings: bytes, message: str) -> None:
    symbols = bytes(24) + b"".join(struct.pack("<IBBHQQ", 2 * at + 1, 0x12, 0, 0, 0, 0) for at in range(20_000))
    assert message in told(raw_elf([(".dynstr", 3, strings, 0, 0, 2), (".dynsym", 11, symbols, 1, 0, 2)]))


def test_names_of_sections_that_share_one_long_name_are_an_error() -> None:
    data = bytearray(elf({".data": b"n" * MEGABYTE}))
    rows = [
        struct.pack("<IIQQQQIIQQ", 0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        struct.pack("<IIQQQQIIQQ", 0, 3, 0, 0, 300, MEGABYTE, 0, 0, 0, 0),
    ]
    rows += [struct.pack("<IIQQQQIIQQ", at, 1, 0, 0, 0, 0, 0, 0, 0, 0) for at in range(20_000)]
    struct.pack_into("<Q", data, 40, len(data))
    struct.pack_into("<HHH", data, 58, 64, len(rows), 1)
    assert "has no end" in told(bytes(data) + b"".join(rows))


@pytest.mark.parametrize("strings", [b"\0" + b"DispatchStub" * 100_000, b"\0" + b"7DEFAULTE\0" * 100_000], ids=["stubs", "ends"])
def test_names_of_dispatch_stubs_are_searched_once(strings: bytes) -> None:
    assert told(raw_elf([(".dynstr", 3, strings, 0, 0, 2), (".dynsym", 11, bytes(24), 1, 0, 2)])) == ""


def test_a_library_that_needs_thousands_is_an_error() -> None:
    assert "it needs 1025 libraries" in told(elf({}, needed=["x"] * 1025))
    assert told(elf({}, needed=["x"] * 1024)) == ""


def test_a_library_that_searches_in_hundreds_of_directories_is_an_error() -> None:
    assert "in 257 directories" in told(elf({}, needed=["x"], runpath=":".join(["/d"] * 257)))
    assert told(elf({}, needed=["x"], runpath=":".join(["/d"] * 256))) == ""


def test_sections_that_lie_over_each_other_are_searched_once() -> None:
    data = bytearray(elf({".data": b"P" * MEGABYTE}))
    row = struct.pack("<IIQQQQIIQQ", 0, 1, 2, 0, 200, MEGABYTE, 0, 0, 0, 0)
    struct.pack_into("<Q", data, 40, len(data))
    struct.pack_into("<HHH", data, 58, 64, 20_000, 0)
    assert told(bytes(data) + row * 20_000) == ""


def test_fat_binaries_that_two_sections_hold_are_counted_once_and_an_error() -> None:
    data = bytearray(elf({".nv_fatbin": fatbin(80), ".later": b"\0" * 64}))
    table, count = struct.unpack_from("<Q", data, 40)[0], struct.unpack_from("<H", data, 60)[0]
    rows = [data[table + 64 * number : table + 64 * (number + 1)] for number in range(count)]
    [twice] = [row for row in rows if struct.unpack_from("<Q", row, 32)[0] == len(fatbin(80))]
    data[table + 64 * (count - 2) : table + 64 * (count - 1)] = twice
    library_, problems = read_library("x", BytesBlob(bytes(data)))
    assert len(library_.code) == 1
    assert ".nv_fatbin lies over another section" in problems[0].message


def test_thousands_of_beginnings_of_fat_binaries_are_given_up() -> None:
    beginning = struct.pack("<IHH", 0xBA55ED50, 1, 16)
    assert "error .data: more than 10000 beginnings" in told(elf({".data": beginning * (MEGABYTE // 8)}))
    some = told(elf({".data": beginning * 3}))
    assert some.startswith("note .data: what looks like a fat binary cannot be read, nor can 2 more: truncated")


def test_a_fat_binary_in_data_whose_entries_break_off_is_an_error_and_read_once() -> None:
    count = 10_000
    body = b"".join(
        struct.pack("<HHIQIIHHIIIQQQ", 1, 0x101, 64, 16, 0, 0, 4, 8, 80, 0, 0, 0x11, 0, 0)
        + struct.pack("<IHHQ", 0xBA55ED50, 1, 16, 80 * (count - at - 1) + 100)
        for at in range(count)
    )
    data = struct.pack("<IHHQ", 0xBA55ED50, 1, 16, len(body) + 100) + body + b"\xff" * 100
    assert "error .data: " in told(elf({".data": data}))
    broken = container([EMPTY_ENTRY, b"\xff" * 64])
    assert told(elf({".data": broken})).startswith("error .data: the entry at")


def test_hundreds_of_thousands_of_empty_fat_binaries_are_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arrstack.verify.fatbin.MAX_CONTAINERS", 100)
    assert "more than 100 fat binaries" in told(elf({".nv_fatbin": container([]) * 101}))
    assert told(elf({".nv_fatbin": container([]) * 99 + fatbin(80)})) == ""


def test_a_section_without_a_fat_binary_in_it_is_an_error() -> None:
    assert "4096 bytes, and no fat binary in them" in told(elf({".nv_fatbin": bytes(4096)}))
    assert "more than 1048576 zero bytes" in told(elf({".nv_fatbin": bytes(2 * MEGABYTE) + fatbin(80)}))
    assert told(elf({".nv_fatbin": fatbin(80) + bytes(100_000) + fatbin(80)})) == ""


@pytest.mark.parametrize("number", [0, 9, 1000, 0xFFFFFFFF])
def test_an_architecture_that_there_cannot_be_is_an_error(number: int) -> None:
    assert f"for architecture {number}, which there cannot be" in told(elf({".nv_fatbin": container([E(2, number, code=b"x")])}))


def test_kinds_that_are_not_known_are_named_up_to_a_number() -> None:
    entries = [E(kind, 80, code=b"tile") for kind in range(100, 110)]
    said = told(elf({".nv_fatbin": container(entries)}))
    assert said.count("entries of kind") == 5
    assert said.endswith("entries of 5 more kinds that this program does not know")


def test_the_longest_number_of_a_cubin_is_no_number() -> None:
    from verify_builders import cubin

    assert told(cubin(90) + b"-arch=sm_" + b"9" * 5000, "x.cubin") == ""
    assert "names no architecture" in told(cubin(9), "x.cubin")


def test_names_of_an_archives_members_are_cut() -> None:
    body = b"".join(f"{f'/{at}':<16}{0:<12}{0:<6}{0:<6}{644:<8}{4:<10}`\n".encode() + b"\x7fELF" for at in range(3000))
    names = b"x" * 100_000
    data = b"!<arch>\n" + f"{'//':<16}{0:<12}{0:<6}{0:<6}{644:<8}{len(names):<10}`\n".encode() + names + body
    with soon():
        _, problems = read_library("x.a", BytesBlob(data))
    assert {len(problem.path) for problem in problems} == {4 + 4096}


def test_a_wheel_of_thousands_of_binaries_for_its_size_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arrstack.artifacts.files.FREE_OPENED", 10)
    path = tmp_path / "x.whl"
    with zipfile.ZipFile(path, "w") as members:
        for number in range(100):
            members.writestr(zipfile.ZipInfo(f"{number}"), b"\x7fELF")
    given_up = [problem.message for problem in verify(path).errors if "binaries in" in problem.message]
    assert len(given_up) == 100 - 10 - path.stat().st_size // 4096
    assert given_up[-1] == f"100 binaries in {path.stat().st_size} bytes: a bomb, not a wheel"


def test_a_layer_of_thousands_of_binaries_for_its_size_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("arrstack.artifacts.files.FREE_OPENED", 10)
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w:gz") as tar:
        for number in range(100):
            info = tarfile.TarInfo(f"{number}")
            info.size = 4
            tar.addfile(info, io.BytesIO(b"\x7fELF"))
    given_up = [problem.message for problem in verify(Held([out.getvalue()])).errors if "binaries in" in problem.message]
    assert len(given_up) == 90
    assert given_up[0] == f"11 binaries in {len(out.getvalue())} bytes: a decompression bomb"


def test_thousands_of_files_version_py_are_not_all_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys.modules["arrstack.verify.collect"], "MAX_VERSION_FILES", 2)
    for number in range(4):
        (tmp_path / f"{number}").mkdir()
        (tmp_path / f"{number}/version.py").write_text("__version__ = '1'\ngit_version = 'x'\n")
    report = verify(tmp_path)
    assert len(report.packages) == 2
    assert [problem.message for problem in report.errors] == ["more than 2 files version.py: the others were not read"]


def test_a_version_file_of_colons_is_read_at_once(make_wheel) -> None:
    path = make_wheel({f"{number}/version.py": b"cuda: x\n" * 20_000 for number in range(20)})
    with soon():
        verify(path)


def test_a_terabyte_of_a_sparse_file_is_read_at_once(tmp_path: Path) -> None:
    path = tmp_path / "libx.so"
    data = bytearray(elf({".data": b"x" * 100}))
    table, count = struct.unpack_from("<Q", data, 40)[0], struct.unpack_from("<H", data, 60)[0]
    for at in range(table, table + 64 * count, 64):
        if struct.unpack_from("<Q", data, at + 32)[0] == 100:
            struct.pack_into("<Q", data, at + 32, 1 << 40)
    path.write_bytes(data)
    os.truncate(path, (1 << 40) + len(data))
    with soon():
        assert verify(path).passed
    path.write_bytes(b"")
    os.truncate(path, 1 << 40)
    with soon():
        assert "zeros" in verify(path).verdict


def test_a_chain_of_thousands_of_libraries_is_followed_once(tmp_path: Path) -> None:
    path = tmp_path / "x.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as members:
        for number in range(600):
            needed = [f"l{number + 1}.so", f"libgomp-{number}.so.1"]
            members.writestr(f"l{number}.so", elf({}, needed=needed))
    with soon():
        verify(path)


def test_strings_in_no_segment_are_an_error() -> None:
    data = bytearray(elf({".data": b""}, needed=["libz.so.1"]))
    struct.pack_into("<I", data, 64, 4)
    said = told(bytes(data))
    assert "its dynamic strings (DT_STRTAB, 0xb0) lie in no segment: what it needs cannot be told" in said


def test_a_name_outside_of_its_table_is_an_error() -> None:
    data = bytearray(elf({}, needed=["libz.so.1"]))
    at = data.index(struct.pack("<qQ", 1, 1))
    struct.pack_into("<qQ", data, at, 1, 5000)
    assert "a name at 5000, outside of its table of" in told(bytes(data))


# -- any bytes at all

SEEDS = [
    library(80, 90, with_ptx=[90], needed=["libc.so.6"], versions={"libc.so.6": ["GLIBC_2.17"]}, undefined=["cudaMalloc"]),
    elf({"__nv_relfatbin": fatbin(80, compression=ZSTD), ".data": fatbin(89) + bytes(8) + fatbin(75, compression=LZ4)}),
    bundle([80, 86]),
    archive({"a.o": library(80), "a-member-with-a-long-name.o": library(90)}),
]
fuzz = settings(max_examples=EXAMPLES, deadline=2000, suppress_health_check=list(HealthCheck), database=None)
# 0, 1 and the largest of each width are what a length or an offset breaks at.
numbers = st.sampled_from([0, 1, 2, 0x7FFFFFFF, 0xFFFFFFFF, 1 << 32, 1 << 40, (1 << 63) - 1, (1 << 64) - 1])
edits = st.lists(
    st.tuples(
        st.integers(0, 1 << 16),
        st.one_of(
            st.binary(min_size=1, max_size=8),
            st.builds(lambda n, w: n.to_bytes(8, "little")[:w], numbers, st.sampled_from([2, 4, 8])),
        ),
    ),
    min_size=1,
    max_size=6,
)


def edited(seed: bytes, changes: list[tuple[int, bytes]]) -> bytes:
    data = bytearray(seed)
    for at, replacement in changes:
        at %= len(data)
        data[at : at + len(replacement)] = replacement
    return bytes(data)


@fuzz
@given(seed=st.sampled_from(SEEDS), changes=edits)
def test_no_number_in_a_library_makes_the_census_crash_or_stay(seed: bytes, changes: list[tuple[int, bytes]]) -> None:
    told(edited(seed, changes))


def layer() -> bytes:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        for name, kind, target, data in (
            ("usr/lib/libx.so", tarfile.REGTYPE, "", SEEDS[0]),
            ("usr/lib/liby.so", tarfile.LNKTYPE, "usr/lib/libx.so", b""),
            ("lib", tarfile.SYMTYPE, "usr/lib", b""),
            ("a/.wh.b", tarfile.REGTYPE, "", b""),
            ("é" * 60 + ".so", tarfile.REGTYPE, "", b"\x7fELF"),
        ):
            info = tarfile.TarInfo(name)
            info.type, info.linkname, info.size = kind, target, len(data)
            tar.addfile(info, io.BytesIO(data))
    return out.getvalue()


LAYER = layer()


def with_checksums(data: bytes) -> bytes:
    """A tar whose headers are valid again after an edit, so that it is read on."""
    whole = bytearray(data)
    for at in range(0, len(whole) - 511, 512):
        if whole[at + 257 : at + 262] == b"ustar":
            whole[at + 148 : at + 156] = b" " * 8
            whole[at + 148 : at + 156] = b"%06o\0 " % sum(whole[at : at + 512])
    return bytes(whole)


@fuzz
@given(changes=edits, heal=st.booleans(), squeeze=st.booleans())
def test_no_edit_of_a_layer_makes_the_census_crash_or_stay(changes: list[tuple[int, bytes]], heal: bool, squeeze: bool) -> None:
    data = edited(LAYER, changes)
    data = with_checksums(data) if heal else data
    with soon():
        verify(Held([LAYER, gzip.compress(data) if squeeze else data]), ["8.0"]).as_dict()


@fuzz
@given(changes=edits)
def test_no_edit_of_a_compressed_layer_makes_the_census_crash_or_stay(changes: list[tuple[int, bytes]]) -> None:
    with soon():
        verify(Held([edited(gzip.compress(LAYER, mtime=0), changes)]), ["8.0"]).as_dict()


@settings(fuzz, max_examples=max(100, EXAMPLES // 3))
@given(changes=edits, nested=st.booleans())
def test_no_number_in_a_wheel_makes_the_census_crash_or_stay(
    tmp_path_factory, changes: list[tuple[int, bytes]], nested: bool
) -> None:
    path = tmp_path_factory.getbasetemp() / f"hostile-{threading.get_ident()}.whl"
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("x/_C.so", SEEDS[0])
        members.writestr("x-1.dist-info/WHEEL", "Tag: cp311-cp311-linux_x86_64\n")
    data = edited(out.getvalue(), changes)
    with zipfile.ZipFile(path, "w") as members:
        members.writestr("x-1-py3-none-any.whl", data)
    if not nested:
        path.write_bytes(data)
    with soon():
        verify(path, ["8.0", "9.0"]).as_dict()


@fuzz
@given(
    name=st.text(max_size=20),
    target=st.text(max_size=20),
    kind=st.sampled_from([tarfile.REGTYPE, tarfile.SYMTYPE, tarfile.LNKTYPE]),
)
def test_no_name_in_a_layer_makes_the_census_crash(name: str, target: str, kind: bytes) -> None:
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", errors="surrogateescape") as tar:
        info = tarfile.TarInfo(name)
        info.type, info.linkname = kind, target
        tar.addfile(info, io.BytesIO())
    verify(Held([out.getvalue()])).as_dict()
