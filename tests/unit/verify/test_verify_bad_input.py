"""What is broken is a finding: never a pass, never a traceback, never more memory than a file is worth."""

import os
import resource
import struct
import threading
import zipfile
import zlib
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from verify_builders import LZ4, ZSTD, E, archive, bundle, container, cubin, elf, entry, fatbin, library

from arrstack.artifacts.blob import BytesBlob, FileBlob
from arrstack.errors import ConfigError
from arrstack.verify import verify
from arrstack.verify.library import read_library


def errors(data: bytes, path: str = "libx.so") -> str:
    _, problems = read_library(path, BytesBlob(data))
    return "; ".join(problem.message for problem in problems if problem.level.value == "error")


def test_a_truncated_elf_file_is_said_to_be_truncated() -> None:
    data = library(80)
    for length in (10, 60, 100, len(data) // 2, len(data) - 1):
        assert "truncated" in errors(data[:length])


def test_a_truncated_fat_binary_is_said_to_be_truncated() -> None:
    whole = fatbin(80, 90)
    for length in (8, 20, 60, 100, len(whole) - 8):
        assert "truncated" in errors(elf({".nv_fatbin": whole[:length]}))


def test_newer_versions_of_the_format_are_not_guessed_at() -> None:
    assert "newer than this program knows" in errors(elf({".nv_fatbin": container([E(2, 80)], version=2)}))
    assert "newer than this program knows" in errors(elf({".nv_fatbin": container([E(2, 80, version=0x201)])}))


def test_an_unknown_compression_is_noticed_by_its_code() -> None:
    assert "compressed in a known way" in errors(elf({".nv_fatbin": container([E(2, 80, code=b"\x99" * 400)])}))
    assert "compressed in a known way" in errors(elf({".nv_fatbin": container([E(1, 80, code=b"\x99" * 400)])}))
    plain = bytearray(entry(E(2, 80)))
    struct.pack_into("<I", plain, 16, 400)
    for flags, message in ((0x11 | ZSTD, "flagged as zstd"), (0x11 | LZ4 | ZSTD, "at once")):
        struct.pack_into("<Q", plain, 40, flags)
        assert message in errors(elf({".nv_fatbin": container([bytes(plain)])}))


def test_an_unknown_kind_of_entry_is_an_error_and_the_rest_is_counted() -> None:
    data = elf({".nv_fatbin": container([E(2, 80), E(16, 80, code=b"tile" * 10), E(2, 90)])})
    found, problems = read_library("x", BytesBlob(data))
    assert [arch.sm for code in found.code for arch in sorted({e.arch for e in code.container.entries})] == ["sm_80", "sm_90"]
    assert "1 entries of kind 16" in problems[0].message


def test_a_header_that_contradicts_the_code_is_found_out() -> None:
    for compression in (0, LZ4):
        data = container([E(2, 89, compression=compression, code=cubin(86))])
        assert "says sm_89, its machine code is for sm_86" in errors(elf({".nv_fatbin": data}))


def test_a_decompression_bomb_in_a_fat_binary_is_not_inflated() -> None:
    code = bytearray(entry(E(2, 80, compression=ZSTD)))
    struct.pack_into("<Q", code, 56, 1 << 40)
    assert "its header says" in errors(elf({".nv_fatbin": container([bytes(code)])}))


def test_garbage_between_fat_binaries_is_an_error() -> None:
    assert "is not the beginning of a fat binary" in errors(elf({".nv_fatbin": fatbin(80) + b"garbage!" * 4}))


def test_a_bundle_whose_table_lies_is_an_error() -> None:
    data = bytearray(bundle([80, 86]))
    struct.pack_into("<I", data, 16 + 64, 5000)
    assert "says 5000 entries" in errors(bytes(data), "x.fatbin")


def test_a_bundle_of_nothing_is_no_division_by_zero() -> None:
    data = bytearray(bundle([80]))
    struct.pack_into("<Q", data, 16 + 56, 0)
    struct.pack_into("<Q", data, 16 + 64 + 8 + 8, 0)
    read, problems = read_library("x.fatbin", BytesBlob(bytes(data)))
    assert read.size == len(data)
    assert all(problem.message for problem in problems)


def test_a_file_without_section_headers_cannot_pass() -> None:
    data = bytearray(library(80))
    struct.pack_into("<Q", data, 40, 0)
    assert "no section headers" in errors(bytes(data))


def test_a_broken_static_archive_is_an_error() -> None:
    assert "truncated" in errors(archive({"a.o": library(80)})[:-40], "libx.a")
    assert "thin archive" in errors(b"!<thin>\n" + b" " * 60, "libx.a")
    assert "malformed" in errors(b"!<arch>\n" + b"x" * 80, "libx.a")


def test_a_text_file_is_not_a_binary(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("hello")
    report = verify(tmp_path / "notes.txt")
    assert not report.passed
    assert "not a binary" in report.problems[0].message


def test_a_wheel_that_is_no_zip_is_an_error(tmp_path: Path) -> None:
    for number, data in enumerate((b"", b"hello", b"PK\3\4" + b"x" * 100, b"PK\5\6" + b"\xff" * 18)):
        path = tmp_path / f"x{number}.whl"
        path.write_bytes(data)
        report = verify(path)
        assert not report.passed
        assert "not a wheel that can be read" in report.problems[0].message


def test_a_truncated_wheel_and_a_corrupt_member_are_errors(make_wheel) -> None:
    path = make_wheel({"x.so": library(80) + bytes(range(256)) * 40})
    data = bytearray(path.read_bytes())
    path.write_bytes(data[: len(data) // 2])
    assert not verify(path, ["8.0"]).passed
    data[200] ^= 0xFF
    path.write_bytes(data)
    report = verify(path, ["8.0"])
    assert not report.passed
    assert any("corrupt" in problem.message or "truncated" in problem.message for problem in report.problems)


def test_a_member_longer_than_its_declared_size_is_an_error(make_wheel) -> None:
    path = make_wheel({"x.so": library(80) + bytes(5000)})
    data = path.read_bytes()
    size = struct.pack("<I", zipfile.ZipFile(path).getinfo("x.so").file_size)
    path.write_bytes(data.replace(size, struct.pack("<I", 3000)))
    assert "inflates to more than" in " ".join(problem.message for problem in verify(path, ["8.0"]).problems)


def test_a_zip_bomb_is_refused_before_it_is_inflated(tmp_path: Path) -> None:
    path = tmp_path / "bomb.whl"
    compressor = zlib.compressobj(9, zlib.DEFLATED, -15)
    zeros = bytes(1 << 20)
    body = compressor.compress(library(80)) + b"".join(compressor.compress(zeros) for _ in range(300)) + compressor.flush()
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive_:
        archive_.writestr("x.so", body)
    data = bytearray(path.read_bytes())
    declared = struct.pack("<I", len(body))
    local, central = data.index(b"PK\3\4"), data.index(b"PK\1\2")
    for at, method, size in ((local, 8, 22), (central, 10, 24)):
        struct.pack_into("<H", data, at + method, 8)
        assert data[at + size : at + size + 4] == declared
        struct.pack_into("<I", data, at + size, 0xFFFFFFF0)
    path.write_bytes(data)
    assert "decompression bomb" in " ".join(problem.message for problem in verify(path, ["8.0"]).problems)


def test_paths_that_leave_the_archive_are_errors(make_wheel) -> None:
    for name in ("../x.so", "/etc/x.so", "a/../../x.so"):
        report = verify(make_wheel({name: library(80), "ok.so": library(80)}), ["8.0"])
        assert not report.passed
        assert any("leads out of the archive" in problem.message for problem in report.problems)


def test_a_member_without_a_name_is_an_error(make_wheel) -> None:
    path = make_wheel({"x": library(80)})
    path.write_bytes(path.read_bytes().replace(b"x", b"\0"))
    assert any("without a name" in problem.message for problem in verify(path, ["8.0"]).problems)


def test_a_loop_of_links_in_a_directory_ends(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "b").symlink_to(tmp_path / "a")
    (tmp_path / "loop").symlink_to("loop")
    (tmp_path / "x.so").write_bytes(library(80))
    (tmp_path / "again.so").symlink_to("x.so")
    report = verify(tmp_path, ["8.0"])
    assert report.passed
    assert len(report.libraries) == 1
    with pytest.raises(ConfigError, match="symbolic links"):
        verify(tmp_path / "loop")


def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.so")
    (tmp_path / "x.so").write_bytes(library(80))
    assert verify(tmp_path, ["8.0"]).passed
    with pytest.raises(ConfigError, match="neither a file nor a directory"):
        verify(tmp_path / "pipe.so")


def test_an_unreadable_file_is_an_error(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "x.so").write_bytes(library(80))
    real = os.open

    def refuse(path, *args, **kwargs):
        if str(path).endswith("x.so"):
            raise PermissionError(13, "Permission denied")
        return real(path, *args, **kwargs)

    monkeypatch.setattr(os, "open", refuse)
    for target in (tmp_path, tmp_path / "x.so"):
        report = verify(target, ["8.0"])
        assert not report.passed
        assert any("Permission denied" in problem.message for problem in report.problems)


def test_an_empty_directory_is_no_pass(tmp_path: Path) -> None:
    assert not verify(tmp_path).passed


def test_a_library_of_four_gigabytes_is_read_without_holding_it(tmp_path: Path) -> None:
    path = tmp_path / "libx.so"
    small = library(80)
    path.write_bytes(small)
    with path.open("r+b") as file:
        table = struct.unpack_from("<Q", small, 40)[0]
        count = struct.unpack_from("<H", small, 60)[0]
        # The section headers move behind four gigabytes of nothing, as at the end of a real library.
        file.seek(5 << 30)
        file.write(small[table : table + 64 * count])
        file.seek(40)
        file.write(struct.pack("<Q", 5 << 30))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    assert verify(path, ["8.0"]).passed
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 100 << 10


def test_a_file_that_shrinks_while_it_is_read_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.so"
    path.write_bytes(library(80))
    blob = FileBlob(path)
    os.truncate(path, 100)
    _, problems = read_library("x.so", blob)
    assert problems


SEEDS = [
    library(80, 90, with_ptx=[90], needed=["libc.so.6"], versions={"libc.so.6": ["GLIBC_2.17"]}, undefined=["cudaMalloc"]),
    library(75, compression=LZ4),
    elf({"__nv_relfatbin": fatbin(80, compression=ZSTD), ".data": fatbin(89)}),
    archive({"a.o": library(80), "a-member-with-a-long-name.o": library(90)}),
    bundle([80, 86]),
    fatbin(80, with_ptx=[80]),
    cubin(90),
]

fuzz = settings(max_examples=400, deadline=2000, suppress_health_check=list(HealthCheck), database=None)


@fuzz
@given(
    seed=st.sampled_from(SEEDS),
    edits=st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=8)), max_size=6),
    cut=st.one_of(st.none(), st.integers(0, 1 << 16)),
)
def test_no_edit_of_a_library_makes_the_census_crash(seed: bytes, edits: list[tuple[int, bytes]], cut: int | None) -> None:
    data = bytearray(seed)
    for at, replacement in edits:
        at %= len(data)
        data[at : at + len(replacement)] = replacement
    library_, problems = read_library("x", BytesBlob(bytes(data[:cut])))
    assert library_.size >= 0
    assert all("\n" not in problem.message for problem in problems)


@settings(fuzz, max_examples=150)
@given(edits=st.lists(st.tuples(st.integers(0, 1 << 16), st.binary(min_size=1, max_size=6)), min_size=1, max_size=5))
def test_no_edit_of_a_wheel_makes_the_census_crash(tmp_path_factory, edits: list[tuple[int, bytes]]) -> None:
    path = tmp_path_factory.getbasetemp() / f"fuzz-{threading.get_ident()}.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive_:
        archive_.writestr("x/_C.so", SEEDS[0])
        archive_.writestr("x/version.py", b"__version__ = '1'\n")
    data = bytearray(path.read_bytes())
    for at, replacement in edits:
        at %= len(data)
        data[at : at + len(replacement)] = replacement
    path.write_bytes(data)
    verify(path, ["8.0", "9.0"]).as_dict()


@fuzz
@given(
    data=st.binary(max_size=2000),
    magic=st.sampled_from([b"", b"\x7fELF", b"!<arch>\n", b"\x50\xed\x55\xba\1\0\x10\0", b"PK\3\4"]),
)
def test_no_bytes_make_the_census_crash(data: bytes, magic: bytes) -> None:
    read_library("x.ptx", BytesBlob(magic + data))
