"""Every field of every format, and every sentence that is said of a broken one, word for word."""

import struct
import tomllib
import zipfile
from importlib import resources
from pathlib import Path

import pytest
from verify_builders import LZ4, ZSTD, E, archive, bundle, compress, container, cubin, elf, fatbin, library, ptx, raw_elf

from arrstack.artifacts.blob import BytesBlob
from arrstack.artifacts.deflate import DeflateBlob
from arrstack.artifacts.files import Level, Problem
from arrstack.verify import ar, verify
from arrstack.verify.dynamic import Dynamic, read_dynamic
from arrstack.verify.elf import Section, read_elf
from arrstack.verify.entries import Arch, Compression, Container, Entry, FatbinError, Kind
from arrstack.verify.entry_code import cubin_architecture, lz4_prefix, read_code
from arrstack.verify.facts import Code, ElfFacts, Library, Package, read_tags, read_version_file
from arrstack.verify.fatbin import read_container, read_containers
from arrstack.verify.gpus import parse_capability
from arrstack.verify.header_index import HeaderIndex
from arrstack.verify.library import read_library
from arrstack.verify.policy import load_policy
from arrstack.verify.strings import ElfError, StringTable


def problems(data: bytes, path: str = "libx.so") -> list[str]:
    return [f"{problem.level.value} {problem.path}: {problem.message}" for problem in read_library(path, BytesBlob(data))[1]]


def hints(data: bytes, path: str = "libx.so") -> list[str]:
    return [problem.hint for problem in read_library(path, BytesBlob(data))[1]]


# -- fat binaries


def parsed(data: bytes) -> Container:
    return read_container(BytesBlob(data), 0, len(data))[0]


def refused(data: bytes, start: int = 0) -> str:
    with pytest.raises(FatbinError) as caught:
        read_container(BytesBlob(data), start, len(data))
    return str(caught.value)


def test_an_entry_of_machine_code_has_every_field() -> None:
    data = container([E(2, 80)])
    assert parsed(data) == Container(0, (Entry(Kind.SASS, Arch(80), 400, Compression.NONE, (1, 7), 80, 400, 400, 0, 400),), ())


def test_an_entry_of_ptx_stands_behind_its_options() -> None:
    data = bytes(24) + container([E(1, 90, "a", isa=(8, 3))])
    found, behind = read_container(BytesBlob(data), 24, len(data))
    size = -(-len(ptx(90, "a", (8, 3))) // 8) * 8
    assert found.offset == 24
    assert found.entries == (Entry(Kind.PTX, Arch(90, "a"), size, Compression.NONE, (8, 3), 24 + 16 + 80, size, size, 0, size),)
    assert behind == len(data)


@pytest.mark.parametrize(("how", "compression"), [(LZ4, Compression.LZ4), (ZSTD, Compression.ZSTD)])
def test_a_compressed_entry_has_both_its_sizes(how: int, compression: Compression) -> None:
    data = container([E(2, 80, compression=how)])
    compressed = len(compress(cubin(80), how))
    stored = -(-compressed // 8) * 8
    assert parsed(data).entries == (Entry(Kind.SASS, Arch(80), stored, compression, (1, 7), 80, compressed, 400, 0, 400),)


def test_the_entries_of_a_bundle_share_its_size() -> None:
    data = bundle([80, 89], [cubin(80, size=300), cubin(89, size=100)])
    first, second = parsed(data).entries
    header_size, stored = struct.unpack_from("<IQ", data, 16 + 4)
    compressed = struct.unpack_from("<I", data, 16 + 16)[0]
    assert first == Entry(
        Kind.SASS, Arch(80), stored * 300 // 400, Compression.ZSTD, (1, 8), 16 + header_size, compressed, 300, 0, 400
    )
    assert (second.arch, second.stored, second.size, second.inner, second.whole) == (Arch(89), stored * 100 // 400, 100, 300, 400)


def test_kinds_that_are_not_known_are_kept_by_number() -> None:
    assert parsed(container([E(16, 5, code=b"x"), E(2, 80)])).unknown_kinds == (16,)


def test_a_section_is_read_container_by_container() -> None:
    data = bytes(8) + fatbin(80) + bytes(4096) + fatbin(90, with_ptx=[90])
    found = list(read_containers(BytesBlob(data), 0, len(data)))
    assert [one.offset for one in found] == [8, 8 + len(fatbin(80)) + 4096]
    assert [len(one.entries) for one in found] == [1, 2]
    [one] = read_containers(BytesBlob(b"garbage " + data), 8, 16 + len(fatbin(80)))
    assert one.offset == 16


def changed(data: bytes, at: int, layout: str, value: int) -> bytes:
    out = bytearray(data)
    struct.pack_into(layout, out, at, value)
    return bytes(out)


def test_what_is_wrong_with_a_container_is_said() -> None:
    data = fatbin(80)
    assert refused(data[:10]) == "truncated: a fat binary's header at 0 does not fit"
    assert refused(b"GARBAGE!" * 4) == "0x42524147 at 0 is not the beginning of a fat binary"
    assert refused(changed(data, 4, "<H", 7)) == "the fat binary at 0 has version 7, newer than this program knows"
    assert refused(changed(data, 6, "<H", 24)) == "the fat binary at 0 has version 1, newer than this program knows"
    assert refused(changed(data, 8, "<Q", 1000)) == "truncated: the fat binary at 0 wants 1000 bytes, 464 are there"
    with pytest.raises(FatbinError, match="a fat binary's header at 0 does not fit"):
        read_container(BytesBlob(data), 0, 15)
    assert read_container(BytesBlob(fatbin()), 0, 16) == (Container(0, ()), 16)
    with pytest.raises(FatbinError, match="the section ends at 480 instead of 500"):
        list(read_containers(BytesBlob(data), 0, 500))


def test_what_is_wrong_with_an_entry_is_said() -> None:
    data = fatbin(80)
    assert refused(container([b"x" * 40])) == "truncated: a fat binary's entry at 16 does not fit"
    assert refused(changed(data, 18, "<H", 0x203)) == "the entry at 16 has version 2.3, newer than this program knows"
    for at, layout, value in ((20, "<I", 63), (20, "<I", 65537), (24, "<Q", 401)):
        assert refused(changed(data, at, layout, value)) == "truncated: the entry at 16 is larger than its fat binary"
    squeezed = container([E(2, 80, compression=LZ4)])
    assert "says 5000 compressed bytes" in refused(changed(squeezed, 32, "<I", 5000))
    assert refused(changed(squeezed, 56, "<Q", LZ4 | ZSTD)) == "the entry at 16 says that it is LZ4 and zstd at once"
    assert refused(changed(data, 44, "<I", 9)) == "the entry at 16 says that it is for architecture 9, which there cannot be"
    assert parsed(container([E(1, 10), E(1, 999)])).entries[1].arch == Arch(999)


def test_an_error_says_how_far_it_had_been_read() -> None:
    data = container([E(2, 80), b"\xff" * 64])
    with pytest.raises(FatbinError) as caught:
        read_container(BytesBlob(data), 0, len(data))
    assert caught.value.read_to == 16 + 464
    with pytest.raises(FatbinError) as caught:
        read_container(BytesBlob(b"x" * 16), 0, 16)
    assert caught.value.read_to == 0


def test_what_is_wrong_with_a_bundle_is_said() -> None:
    data = bundle([80, 86])
    assert refused(changed(data, 36, "<I", 64 + 129)) == "truncated: the bundle at 16 has no table"
    assert refused(changed(data, 80, "<I", 3)) == "truncated: the bundle at 16 says 3 entries"
    assert refused(changed(data, 88, "<H", 9)) == "the bundle at 16 has an entry of kind 9, 400 bytes at 0"
    assert refused(changed(data, 92, "<I", 401)) == "the bundle at 16 has an entry of kind 2, 400 bytes at 401"
    assert refused(changed(data, 108, "<I", 200)) == "truncated: the bundle at 16 has options outside of its header"
    assert len(parsed(changed(data, 36, "<I", 64)).entries) == 2


def test_an_entry_of_a_bundle_ends_with_its_options() -> None:
    whole = cubin(80) + cubin(86)
    fields = "<HHIQIIHHIIIQQQ"
    options = struct.pack("<II", 72, 5) + b"-O3 x\0\0\0"
    table = struct.pack(fields, 2, 0x101, 0, 400, 0, 64, 8, 1, 80, 0, 0, 0x11, 0, 0) + options
    table += struct.pack(fields, 2, 0x101, 400, 400, 0, 0, 8, 1, 86, 0, 0, 0x11, 0, 0)
    stored = whole
    size = 64 + 8 + len(table)
    head = struct.pack(fields, 0x100, 0x101, size, len(stored), 0, 64, 0, 1, 0, 0, 0, 0x11, 0, len(whole))
    data = container([head + struct.pack("<II", 2, 8 + len(table)) + table + stored])
    assert [(one.arch.number, one.inner) for one in parsed(data).entries] == [(80, 0), (86, 400)]


def test_code_is_held_to_its_header() -> None:
    other = container([E(2, 80, code=cubin(75))])
    assert refused(other) == "the entry at 80 says sm_80, its machine code is for sm_75"
    unknown = "the entry at 80 is neither CUDA machine code nor compressed in a known way"
    assert refused(container([E(2, 80, code=b"\x99" * 400)])) == unknown
    assert refused(container([E(2, 80, code=elf({}))])) == unknown
    assert refused(container([E(1, 80, code=b"\x01" * 80)])) == "the entry at 96 is neither PTX nor compressed in a known way"
    assert refused(container([E(1, 80, code=ptx(75))])) == "the entry at 96 says compute_80, its PTX is for sm_75"
    zstd = container([E(2, 80, compression=ZSTD)])
    assert refused(changed(zstd, 72, "<Q", 399)) == "the code at 80 inflates to 400 bytes, its header says 399"
    assert refused(changed(zstd, 80, "<I", 0)) == "the code at 80 is flagged as zstd and is not"
    assert refused(changed(zstd, 84, "<B", 0xFF)).startswith("the code at 80 has no valid zstd frame: ")
    assert len(parsed(container([E(8, 80, code=b"\x99" * 64)])).entries) == 1, "LTO IR is not looked into"


def test_a_cubin_names_its_architecture_in_its_flags() -> None:
    assert cubin_architecture(cubin(90)) == Arch(90)
    assert cubin_architecture(cubin(90)[:52]) == Arch(90)
    assert cubin_architecture(cubin(90)[:51]) is None
    assert cubin_architecture(cubin(121, abi=8)) == Arch(121)
    assert cubin_architecture(b"\x7fELG" + cubin(90)[4:]) is None
    assert cubin_architecture(changed(cubin(90), 48, "<I", 0x800 | 90)) == Arch(90, "a")
    narrow = changed(changed(cubin(80), 4, "<B", 1), 36, "<I", 35)
    assert cubin_architecture(narrow) == Arch(35)
    variant = container([E(2, 90, code=changed(cubin(90), 48, "<I", 0x800 | 90))])
    assert parsed(variant).entries[0].arch == Arch(90, "a")
    assert parsed(container([E(2, 90, "f", code=changed(cubin(90), 48, "<I", 0x800 | 90))])).entries[0].arch == Arch(90, "f")


@pytest.mark.parametrize("how", [0, LZ4, ZSTD])
def test_code_is_read_back_and_what_is_corrupt_is_said(how: int) -> None:
    data = container([E(2, 80, compression=how)])
    [found] = parsed(data).entries
    assert read_code(BytesBlob(data), found) == cubin(80)
    with pytest.raises(FatbinError, match="the code at 80 would inflate to 400 bytes"):
        read_code(BytesBlob(data), found, 399)
    assert len(read_code(BytesBlob(data), found, 400)) == 400
    with pytest.raises(FatbinError, match=r"the code at 80 (does not decompress|inflates to 10 bytes, its header says 400)"):
        read_code(BytesBlob(data[:90]), found)


def test_the_prefix_of_an_lz4_block_is_that_of_its_content() -> None:
    for content in (
        b"a" * 1000,
        bytes(range(256)) * 4,
        b"abcd" * 100 + bytes(range(200)) + b"abcd" * 100,
        b"x" * 300 + bytes(300),
    ):
        squeezed = compress(content, LZ4)
        for wanted in (1, 4, 20, 128, 500):
            assert lz4_prefix(squeezed, wanted) == content[:wanted]
    assert lz4_prefix(b"\xf0", 10) == b""
    assert lz4_prefix(b"\x10a\x05\x00", 10) == b"a", "a distance before the beginning ends it"
    assert lz4_prefix(b"\x10a\x00\x00", 10) == b"a"


# -- what a stream index keeps


def wheel_member(path: Path, data: bytes, monkeypatch: pytest.MonkeyPatch, chunk: int) -> list[tuple[int, int]]:
    """Verifies a deflated library in a wheel; the reads that had to inflate it again."""
    again: list[tuple[int, int]] = []
    real = DeflateBlob._read_again

    def counted(self: DeflateBlob, offset: int, length: int) -> bytes:
        again.append((offset, length))
        return real(self, offset, length)

    monkeypatch.setattr("arrstack.artifacts.wheel.IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("arrstack.artifacts.blob.CHUNK", chunk)
    monkeypatch.setattr(DeflateBlob, "_read_again", counted)
    with zipfile.ZipFile(path / "x.whl", "w", zipfile.ZIP_DEFLATED) as members:
        members.writestr("x.so", data)
    report = verify(path / "x.whl", ["8.0", "8.9", "9.0"])
    assert not report.errors
    [found] = report.libraries
    assert {arch.sm: amount.entries for arch, amount in found.sm.items()} == {"sm_80": 60, "sm_89": 60, "sm_90": 30}
    return again


@pytest.mark.parametrize("chunk", [1 << 13, 1 << 16, 1 << 20])
def test_the_headers_of_fat_binaries_are_kept_while_they_pass(
    chunk: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    noise = bytes((i * 7919 + i // 251) % 256 for i in range(200_000))
    code = container([E(2, 80), E(2, 89), E(1, 90, compression=LZ4)]) + fatbin(80, 89, 90, compression=ZSTD)
    data = elf({".nv_fatbin": code * 30, ".data": noise})
    assert wheel_member(tmp_path, data, monkeypatch, chunk) == []


def test_an_index_knows_where_the_magic_number_stands() -> None:
    data = b"x" * 10 + fatbin(80) + b"y" * 5 + fatbin(90)[:100] + b"\x50\xed\x55"
    for chunk in (1, 2, 3, 7, 100, 1000):
        index = HeaderIndex()
        for at in range(0, len(data), chunk):
            index.feed(data[at : at + chunk])
        index.finish()
        assert index.positions() == [10, 10 + len(fatbin(80)) + 5]
        assert index.window(10, 16) == data[10:26]
        assert index.window(0, len(data)) == data


def test_an_index_keeps_both_ends_of_a_stream() -> None:
    data = bytes((i * 7919 + i // 251) % 251 + 1 for i in range(400_000))
    index = HeaderIndex()
    for at in range(0, len(data), 30_000):
        index.feed(data[at : at + 30_000])
    index.finish()
    assert index.window(0, 1 << 16) == data[: 1 << 16]
    assert index.window(1, 1 << 16) is None
    assert index.window(len(data) - (1 << 16), 1 << 16) == data[-(1 << 16) :]
    assert index.window(len(data) - 10, 10) == data[-10:]
    assert index.window(len(data) - 10, 11) is None
    assert index.window(200_000, 1) is None


# -- ELF files


def test_an_elf_file_has_every_field() -> None:
    data = elf({".data": b"abc"}, needed=["liba.so.1"], soname="libx.so.2", runpath="/a:$ORIGIN/b", machine=183)
    found = read_elf(BytesBlob(data))
    assert (found.bits, found.machine) == (64, "aarch64")
    assert [section.name for section in found.sections] == ["", ".dynstr", ".dynamic", ".dynsym", ".data", ".shstrtab"]
    section = found.section(".data")
    assert section and found.contents(section, 3) == b"abc"
    assert (section.type, section.flags, section.size, section.link, section.info) == (1, 2, 3, 0, 0)
    assert found.section(".nothing") is None
    assert read_dynamic(found) == Dynamic(("liba.so.1",), "libx.so.2", (), ("/a", "$ORIGIN/b"))
    with pytest.raises(ElfError, match=r"^section \.data says that it has 3 bytes$"):
        found.contents(section, 2)


@pytest.mark.parametrize(
    ("number", "name"),
    [
        (3, "x86"),
        (62, "x86-64"),
        (40, "arm"),
        (183, "aarch64"),
        (190, "cuda"),
        (21, "ppc64le"),
        (22, "s390x"),
        (243, "riscv64"),
        (5, "machine 5"),
    ],
)
def test_processors_are_named(number: int, name: str) -> None:
    assert read_elf(BytesBlob(elf({}, machine=number))).machine == name


def narrow_elf() -> bytes:
    """A 32-bit library that needs liba.so and libc.so.6 in version GLIBC_2.1, and the symbol cudaMalloc."""
    strings = b"\0liba.so\0libc.so.6\0GLIBC_2.1\0cudaMalloc\0/r\0"
    base = 52 + 2 * 32
    dynamic_at = base + len(strings) + (-len(strings)) % 4
    dynamic = b"".join(struct.pack("<iI", *tag) for tag in ((1, 1), (15, 40), (5, base), (10, len(strings)), (0, 0)))
    versions_at = dynamic_at + len(dynamic)
    versions = struct.pack("<HHIII", 1, 1, 9, 16, 0) + struct.pack("<IHHII", 0, 0, 0, 19, 0)
    symbols_at = versions_at + len(versions)
    symbols = bytes(16) + struct.pack("<IIIBBH", 29, 0, 0, 0x12, 0, 0) + struct.pack("<IIIBBH", 1, 0, 0, 0x12, 0, 3)
    names = b"\0.nv_fatbin\0"
    names_at = symbols_at + len(symbols)
    code_at = names_at + len(names) + (-(names_at + len(names))) % 8
    code = fatbin(75)
    table_at = code_at + len(code)
    rows = [
        bytes(40),
        struct.pack("<IIIIIIIIII", 0, 3, 2, 0, base, len(strings), 0, 0, 1, 0),
        struct.pack("<IIIIIIIIII", 0, 0x6FFFFFFE, 2, 0, versions_at, len(versions), 1, 1, 4, 0),
        struct.pack("<IIIIIIIIII", 0, 11, 2, 0, symbols_at, len(symbols), 1, 0, 4, 16),
        struct.pack("<IIIIIIIIII", 1, 1, 2, 0, code_at, len(code), 0, 0, 8, 0),
        struct.pack("<IIIIIIIIII", 0, 3, 0, 0, names_at, len(names), 0, 0, 1, 0),
    ]
    head = b"\x7fELF\1\1\1" + bytes(9) + struct.pack("<HHIIIIIHHHHHH", 3, 3, 1, 0, 52, table_at, 0, 52, 32, 2, 40, len(rows), 5)
    load = struct.pack("<IIIIIIII", 1, 0, 0, 0, table_at, table_at, 5, 8)
    table = struct.pack("<IIIIIIII", 2, dynamic_at, dynamic_at, dynamic_at, len(dynamic), len(dynamic), 6, 4)
    body = strings.ljust(dynamic_at - base, b"\0") + dynamic + versions + symbols + names
    return (head + load + table + body).ljust(code_at, b"\0") + code + b"".join(rows)


def test_a_library_of_32_bits_is_read_as_one_of_64() -> None:
    found, said = read_library("x.so", BytesBlob(narrow_elf()))
    assert said == ()
    assert found.elf == ElfFacts(
        "x86", "", ("liba.so",), ("/r",), (("libc.so.6", ("GLIBC_2.1",)),), frozenset({"cudaMalloc"}), ()
    )
    assert {arch.sm for arch in found.amounts(Kind.SASS)} == {"sm_75"}


def test_the_versions_and_symbols_that_are_needed_are_read() -> None:
    data = elf(
        {},
        versions={"libc.so.6": ["GLIBC_2.2.5", "GLIBC_2.17"], "libm.so.6": ["GLIBC_2.29"]},
        undefined=["cudaMalloc", "printf", "ncclSend"],
    )
    found = read_elf(BytesBlob(data))
    assert found.needed_versions == {"libc.so.6": ("GLIBC_2.2.5", "GLIBC_2.17"), "libm.so.6": ("GLIBC_2.29",)}
    assert found.undefined_symbols(["cuda", "nccl"]) == {"cudaMalloc", "ncclSend"}
    assert found.undefined_symbols(["x"]) == frozenset()
    assert b"printf\0" in found.dynamic_names
    empty = read_elf(BytesBlob(raw_elf([(".data", 1, b"", 0, 0, 2)])))
    assert (empty.needed_versions, empty.undefined_symbols(["c"]), empty.dynamic_names) == ({}, frozenset(), b"")


def test_the_old_rpath_counts_where_there_is_no_runpath() -> None:
    data = elf({}, runpath="/new")
    at = data.index(struct.pack("<q", 29))
    assert read_library("x", BytesBlob(changed(data, at, "<q", 15)))[0].elf == ElfFacts("x86-64", search=("/new",))
    assert read_dynamic(read_elf(BytesBlob(changed(data, at, "<q", 15)))).rpath == ("/new",)


def test_sections_know_what_they_are() -> None:
    def section(kind: int, flags: int, size: int) -> Section:
        return Section("x", kind, flags, 0, size, 0, 0)

    assert [section(1, 2, 4).is_data, section(1, 6, 4).is_data, section(1, 0, 4).is_data, section(8, 2, 4).is_data] == [
        True,
        False,
        False,
        False,
    ]
    assert [section(1, 0, 1).has_bytes, section(1, 0, 0).has_bytes, section(8, 0, 1).has_bytes] == [True, False, False]


def test_what_is_wrong_with_an_elf_file_is_said() -> None:
    data = elf({".data": b"abc"}, needed=["liba.so"])
    table = struct.unpack_from("<Q", data, 40)[0]
    size = len(data)
    assert problems(data[:19]) == ["error libx.so: truncated: its header should reach to 20, the file ends at 19"]
    assert problems(data[:63]) == ["error libx.so: truncated: its header should reach to 64, the file ends at 63"]
    assert problems(changed(data, 4, "<B", 3)) == ["error libx.so: an ELF file of unknown class 3 or byte order 1"]
    assert problems(changed(data, 5, "<B", 3)) == ["error libx.so: an ELF file of unknown class 2 or byte order 3"]
    assert problems(changed(data, 5, "<B", 2)) == ["error libx.so: a big-endian ELF file, which no CUDA platform has"]
    assert problems(changed(data, 58, "<H", 63)) == ["error libx.so: section headers of 63 bytes"]
    assert problems(data[:-1]) == [
        f"error libx.so: truncated: its section headers should reach to {size}, the file ends at {size - 1}"
    ]
    assert problems(changed(data, 62, "<H", 6)) == ["error libx.so: truncated: the names of its sections are not there"]
    assert problems(changed(data, table + 64 * 5 + 32, "<Q", 1 << 29)) == ["error libx.so: 536870912 bytes of section names"]
    many = changed(changed(data, 60, "<H", 0), table + 32, "<Q", (1 << 18) + 1)
    assert problems(many) == ["error libx.so: 262145 sections"]
    assert problems(changed(data, 54, "<H", 39)) == ["error libx.so: program headers of 39 bytes"]
    assert problems(changed(data, 64 + 56 + 32, "<Q", (1 << 20) + 1)) == ["error libx.so: a dynamic section of 1048577 bytes"]
    at = data.index(struct.pack("<q", 10), struct.unpack_from("<Q", data, 64 + 56 + 8)[0])
    assert problems(changed(data, at + 8, "<Q", 1 << 29)) == ["error libx.so: 536870912 bytes of dynamic strings"]
    symbols = table + 64 * 3
    assert problems(changed(data, symbols + 40, "<I", 6)) == ["error libx.so: a section links to section 6, which is not there"]
    assert problems(changed(data, symbols + 40, "<I", 0)) == ["error libx.so: a section links to section 0, which is not there"]
    no_sections = "it has no section headers: what GPU code it holds cannot be counted for certain"
    assert problems(changed(data, 40, "<Q", 0)) == [f"error libx.so: {no_sections}"]
    broken = raw_elf([(".dynstr", 3, b"\0a\0", 0, 0, 2), (".gnu.version_r", 0x6FFFFFFE, b"x" * 10, 1, 1, 2)])
    assert problems(broken) == ["error libx.so: a table of symbol versions whose entries lie over each other"]
    outside = elf({}, versions={"libc.so.6": ["GLIBC_2.17"]})
    at = next(section.offset for section in read_elf(BytesBlob(outside)).sections if section.name == ".gnu.version_r")
    assert problems(changed(outside, at + 8, "<I", 17)) == [
        "error libx.so: a table of symbol versions that points outside of itself, at 17"
    ]


def test_counts_that_do_not_fit_stand_in_the_first_section_header() -> None:
    data = elf({".nv_fatbin": fatbin(80)})
    table = struct.unpack_from("<Q", data, 40)[0]
    count, names = struct.unpack_from("<HH", data, 60)
    long = changed(changed(data, 60, "<H", 0), 62, "<H", 0xFFFF)
    long = changed(changed(long, table + 32, "<Q", count), table + 40, "<I", names)
    assert [code.section for code in read_library("x", BytesBlob(long))[0].code] == [".nv_fatbin"]


def test_sections_without_names_are_searched() -> None:
    data = changed(elf({".nv_fatbin": fatbin(80)}), 62, "<H", 0)
    assert [code.section for code in read_library("x", BytesBlob(data))[0].code] == [""]


def test_a_table_of_strings_is_exact() -> None:
    table = StringTable(b"\0libc.so.6\0end")
    assert (table.name(0), table.name(1), table.name(5), table.name(1)) == ("", "libc.so.6", ".so.6", "libc.so.6")
    with pytest.raises(ElfError, match=r"^a name at 14, outside of its table of 14 bytes$"):
        table.name(14)
    with pytest.raises(ElfError, match=r"^a name at -1, outside"):
        table.name(-1)
    with pytest.raises(ElfError, match=r"^the name at 11 has no end, or more than 65536 bytes$"):
        table.name(11)
    assert StringTable(b"\xff\0").name(0) == "�"
    assert len(StringTable(b"n" * 65535 + b"\0").name(0)) == 65535
    with pytest.raises(ElfError, match="has no end"):
        StringTable(b"n" * 65536 + b"\0").name(0)


def test_what_a_file_of_debug_symbols_holds_is_a_note() -> None:
    data = elf({".nv_fatbin": fatbin(80)}, needed=["liba.so"])
    table = struct.unpack_from("<Q", data, 40)[0]
    stripped = data
    for number in (2, 4):
        stripped = changed(stripped, table + 64 * number + 4, "<I", 8)
    found, _ = read_library("x", BytesBlob(stripped))
    assert problems(stripped) == ["note libx.so: .nv_fatbin is empty here: a file of debug symbols alone"]
    assert found.elf and found.elf.needed == ()


def test_gpu_code_of_others_is_a_warning() -> None:
    for name, what in (
        (".hip_fatbin", "GPU code for AMD"),
        (".llvm.offloading", "GPU code in LLVM's offloading format"),
        ("__CLANG_OFFLOAD_BUNDLE__", "GPU code in clang's offload bundles"),
    ):
        assert problems(elf({name: b"x"})) == [f"warning libx.so: {what} in {name}, which is not counted"]


def test_the_pointers_to_fat_binaries_are_not_searched() -> None:
    assert read_library("x", BytesBlob(elf({".nvFatBinSegment": fatbin(80)})))[0].code == ()
    [code] = read_library("x", BytesBlob(elf({"__nv_relfatbin": fatbin(80)})))[0].code
    assert (code.section, code.relocatable) == ("__nv_relfatbin", True)
    [code] = read_library("x", BytesBlob(elf({".nv_fatbin": fatbin(80)})))[0].code
    assert (code.section, code.relocatable) == (".nv_fatbin", False)


def test_fat_binaries_in_data_stand_at_multiples_of_eight() -> None:
    assert len(read_library("x", BytesBlob(elf({".data": bytes(8) + fatbin(80)})))[0].code) == 1
    assert read_library("x", BytesBlob(elf({".data": bytes(4) + fatbin(80)})))[0].code == ()


def test_a_fat_binary_that_reaches_out_of_the_file_is_truncated() -> None:
    data = elf({".nv_fatbin": fatbin(80)})
    table = struct.unpack_from("<Q", data, 40)[0]
    at = struct.unpack_from("<Q", data, table + 64 * 4 + 24)[0]
    long = changed(data, table + 64 * 4 + 32, "<Q", 1 << 20)
    assert problems(long) == [f"error libx.so: truncated: .nv_fatbin should reach to {at + (1 << 20)}"]


# -- files that are GPU code, archives


def single(found: Library) -> Entry:
    [code] = found.code
    assert (code.section, code.container.offset, code.relocatable) == ("file", 0, False)
    return code.container.entries[0]


def test_a_cubin_and_a_file_of_ptx_are_one_entry() -> None:
    code, _ = read_library("x.cubin", BytesBlob(cubin(90) + b" -arch sm_90a "))
    assert single(code) == Entry(Kind.SASS, Arch(90, "a"), 414, Compression.NONE, (0, 0), 0, 414, 414, 0, 414)
    assert code.elf == ElfFacts("cuda")
    assert single(read_library("x.cubin", BytesBlob(cubin(90) + b" -arch=sm_80a "))[0]).arch == Arch(90)
    text = ptx(75, isa=(8, 4))
    code, _ = read_library("x.ptx", BytesBlob(text))
    size = len(text)
    assert single(code) == Entry(Kind.PTX, Arch(75), size, Compression.NONE, (8, 4), 0, size, size, 0, size)
    assert (code.elf, code.path, code.size) == (None, "x.ptx", size)


def test_what_is_no_library_at_all_is_said() -> None:
    assert problems(b"hello") == ["error libx.so: neither an ELF file, a static archive, a fat binary nor PTX"]
    assert problems(b"!<thin>\n" + b" " * 60, "x.a") == ["error x.a: a thin archive: its members are other files"]
    assert hints(b"!<thin>\n", "x.a") == ["name those files instead"]
    unknown = elf({".nv_fatbin": container([E(16, 80, code=b"x")])})
    assert problems(unknown) == ["error libx.so: 1 entries of kind 16, which this program does not know"]
    assert hints(unknown) == ["a newer CUDA made them; a newer version of this program may read them"]


def member(name: str, data: bytes, size: str = "") -> bytes:
    return f"{name:<16}{0:<12}{0:<6}{0:<6}{644:<8}{size or len(data):<10}`\n".encode() + data + b"\n" * (len(data) % 2)


def test_the_members_of_an_archive_are_named_in_three_ways() -> None:
    data = ar.MAGIC + member("/", b"symbols!") + member("/SYM64/", b"64") + member("//", b"a-long-name.o/\nother.o/\n")
    data += member("short.o/", b"odd") + member("/0", b"long") + member("/15", b"o") + member("#1/8", b"bsd.o\0\0\0data")
    found = list(ar.members(BytesBlob(data)))
    assert [(one.name, data[one.offset : one.offset + one.size]) for one in found] == [
        ("short.o", b"odd"),
        ("a-long-name.o", b"long"),
        ("other.o", b"o"),
        ("bsd.o", b"data"),
    ]
    assert [one.name for one in ar.members(BytesBlob(ar.MAGIC + member("/99", b"x")))] == ["/99".rstrip("/")]


def archive_error(data: bytes) -> str:
    with pytest.raises(ar.ArchiveError) as caught:
        list(ar.members(BytesBlob(data)))
    return str(caught.value)


def test_what_is_wrong_with_an_archive_is_said() -> None:
    assert archive_error(ar.MAGIC + b"x" * 59) == "truncated or malformed: no member's header at 8"
    assert archive_error(ar.MAGIC + b"x" * 60) == "truncated or malformed: no member's header at 8"
    assert archive_error(ar.MAGIC + member("a/", b"abc", "x")) == "malformed: b'x         ' at 8 is not a number"
    assert archive_error(ar.MAGIC + member("a/", b"ab", "3")) == "truncated: the member at 8 has 3 bytes, 2 are there"
    assert archive_error(ar.MAGIC + member("/x", b"ab")) == "malformed: b'x' at 68 is not a number"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ar, "_MAX_NAMES", 3)
        assert archive_error(ar.MAGIC + member("//", b"four")) == "4 bytes of member names"
        assert list(ar.members(BytesBlob(ar.MAGIC + member("//", b"two")))) == []


def test_what_is_wrong_in_an_archive_is_said_with_the_members_name() -> None:
    said = problems(archive({"good.o": library(80), "bad.o": library(80)[:100]}), "libx.a")
    assert said[0].startswith("error libx.a:bad.o: truncated: ")
    assert problems(archive({"a.cubin": cubin(9)}), "libx.a") == [
        "error libx.a:a.cubin: truncated or malformed: a cubin that names no architecture"
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("arrstack.verify.library.MAX_ARCHIVE_MEMBERS", 1)
        two = archive({"a.o": library(80), "b.o": library(80)})
        assert problems(two, "libx.a") == ["error libx.a: a static archive with more than 1 members"]
        assert problems(archive({"a.o": library(80)}), "libx.a") == []


# -- version files, tags, capabilities, the policy


def test_a_version_file_is_read_as_torch_writes_it() -> None:
    text = "\n".join(
        [
            "from typing import Optional",
            "__all__ = ['__version__']",
            "__version__ = '2.6.0+cu124'",
            "debug = False",
            "cuda: Optional[str] = '12.4'",
            'git_version = "abc"',
            "hip: Optional[str] = None",
            "other = 'x'",
        ]
    )
    values = (("__version__", "2.6.0+cu124"), ("cuda", "12.4"), ("debug", None), ("git_version", "abc"), ("hip", None))
    assert read_version_file("site/torch/version.py", text) == Package("torch", "site/torch/version.py", values)
    assert read_version_file("version.py", text) == Package("version.py", "version.py", values)
    assert read_version_file("torch/version.py", "__version__ = '1'") is None
    assert read_version_file("torch/version.py", "git_version = '1'") is None
    commented = read_version_file("t/version.py", "__version__ = '1'\ngit_version = 'a'\ncuda = True\n")
    assert commented and dict(commented.versions)["cuda"] == "True"


def test_the_tags_of_a_wheel_are_read_line_by_line() -> None:
    assert read_tags("Wheel-Version: 1.0\nTag: cp311-cp311-linux_x86_64\nTag: py3-none-any \n") == (
        "cp311-cp311-linux_x86_64",
        "py3-none-any",
    )


@pytest.mark.parametrize(
    ("text", "capability"), [("8.9", (8, 9)), ("89", (8, 9)), ("sm_120", (12, 0)), ("compute_75", (7, 5)), (" 12.1 ", (12, 1))]
)
def test_a_capability_is_read_in_every_spelling(text: str, capability: tuple[int, int]) -> None:
    assert parse_capability(text) == capability


def test_the_policy_is_what_its_file_says() -> None:
    table = tomllib.loads(resources.files("arrstack.verify").joinpath("policy.toml").read_text(encoding="utf-8"))
    policy = load_policy()
    assert policy.architectures == (Arch(75), Arch(80), Arch(86), Arch(89), Arch(90))
    assert (policy.ptx, policy.wants_gpu_code, policy.is_exact, policy.strict) == ((), False, True, False)
    assert [list(listed) for listed in (policy.ours, policy.vendor, policy.gpu_packages, policy.system_directories)] == [
        table["ours"],
        table["vendor"],
        table["gpu_packages"],
        table["system_directories"],
    ]
    assert [list(policy.system_libraries), list(policy.driver_libraries)] == [
        table["system"]["libraries"],
        table["system"]["driver"],
    ]
    assert (policy.drivers, policy.ptx_isa, policy.nccl) == (table["driver"], table["ptx_isa"], table["nccl"])
    assert list(policy.deep_kernels) == table["deep"]["kernels"]
    [variant] = policy.variants
    assert (variant.arch, list(variant.libraries), variant.reason) == (
        Arch(90, "a"),
        table["variant"][0]["libraries"],
        table["variant"][0]["reason"],
    )


# -- the whole report


def test_the_json_of_a_library_is_this(tmp_path: Path) -> None:
    path = tmp_path / "torch" / "_C.cpython-311-x86_64-linux-gnu.so"
    path.parent.mkdir()
    data = container([E(2, 80), E(2, 89), E(1, 80, isa=(8, 4)), E(8, 90, code=b"i" * 8)]) + fatbin(80)
    path.write_bytes(elf({".nv_fatbin": data}, needed=["libc.so.6", "libcudart.so.12"], runpath="/home/me"))
    (path.parent / "version.py").write_text("__version__ = '2.6.0'\ngit_version = 'abc'\ncuda = '12.4'\n")
    inside = path.relative_to(tmp_path).as_posix()
    size = -(-len(ptx(80)) // 8) * 8
    told = verify(tmp_path, ["8.0", "8.9"], gpus=["L4", "T4"]).as_dict()
    assert told.pop("policy") == {
        "sm": ["sm_80", "sm_89"],
        "ptx": [],
        "variants": {"sm_90a": load_policy().variants[0].reason},
        "wants_gpu_code": True,
        "is_exact": True,
        "strict": False,
    }
    assert told == {
        "target": str(tmp_path),
        "source": "directory",
        "libraries": [
            {
                "path": inside,
                "ours": True,
                "sm": {"sm_80": {"entries": 2, "bytes": 800}, "sm_89": {"entries": 1, "bytes": 400}},
                "ptx": {"compute_80": {"entries": 1, "bytes": size}},
                "lto_ir": {"sm_90": {"entries": 1, "bytes": 8}},
                "gpus": {"L4": "native", "T4": "no"},
                "units": 2,
                "units_without": {"sm_89": 1},
            }
        ],
        "elf_files": 1,
        "asked": ["L4", "T4"],
        "answers": {
            "L4": "L4 (sm_89): runs, by sm_89 code (less for 1 of 2 units)",
            "T4": "T4 (sm_75): does not run",
        },
        "gpus": {"L4": "native", "T4": "no"},
        "partly": {"L4": {"units": 1, "of": 2}},
        "packages": [{"name": "torch", "path": "torch/version.py", "__version__": "2.6.0", "cuda": "12.4", "git_version": "abc"}],
        "needs": {
            "cpu": "x86-64",
            "libc": "glibc",
            "python": "cp311",
            "cuda": "12",
            "driver": "525.60.13",
            "ptx_driver": "CUDA 12.4",
        },
        "cpu_capabilities": [],
        "missing": {},
        "extra": {"compute_80": [inside]},
        "problems": [
            {
                "level": "warning",
                "path": inside,
                "message": "not every translation unit is built for every architecture: of 2, 1 lack sm_89",
                "hint": "kernels of those run from another architecture's code, or not at all",
            },
            {
                "level": "warning",
                "path": inside,
                "message": "its RPATH names /home/me, a directory of the machine that built it",
                "hint": "set it to $ORIGIN and relative paths (patchelf --set-rpath)",
            },
            {
                "level": "note",
                "path": str(tmp_path),
                "message": "needs libraries from elsewhere: libcudart.so.12",
                "hint": "of the system or of other packages",
            },
        ],
        "wheels": [],
        "verdict": "fail",
        "reason": "does not run on T4",
    }


def test_the_facts_of_a_library_count_by_kind() -> None:
    found, _ = read_library("a/b.so", BytesBlob(library(80, 90, with_ptx=[90])))
    assert (found.name, found.has_gpu_code, found.size) == ("b.so", True, len(library(80, 90, with_ptx=[90])))
    assert Library("x", 1).has_gpu_code is False
    assert Code("s", Container(0, ())).architectures(Kind.SASS) == frozenset()
    assert found.code[0].architectures(Kind.PTX) == {Arch(90)}
    assert Problem(Level.NOTE, "p", "m") == Problem(Level.NOTE, "p", "m", "")
