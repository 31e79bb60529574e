"""Symbol tables go where what a loader maps stays the same to the byte, and nowhere else."""

import csv
import os
import struct
from pathlib import Path

import pytest

from tests.unit.image_programs.programs import RECIPE, program

headers = program("headers", RECIPE / "build/runtime")
symbols = program("symbols", RECIPE / "build/runtime")
RECORD = "torch-2.6.0.dist-info/RECORD"
TABLES = b"symbols" * 100


def elf(code: bytes, tail: bytes) -> bytes:
    """One segment with the header and the code, and behind it what no segment holds."""
    size = 64 + 56 + len(code)
    header = b"\x7fELF\x02\x01\x01".ljust(16, b"\0") + struct.pack("<2HI3QI6H", 3, 62, 1, 0, 64, size, 0, 64, 56, 1, 64, 4, 3)
    return header + struct.pack("<2I6Q", 1, 5, 0, 0, 0, size, size, 4096) + code + tail


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    for name, content in {"torch/lib/libtorch.so": elf(b"code", TABLES), "torch/__init__.py": b"x\n"}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(content)
    (root / "torch/lib/libtorch.so").chmod(0o755)
    (root / RECORD).parent.mkdir()
    rows = [headers.row(root, "torch/lib/libtorch.so"), headers.row(root, "torch/__init__.py"), [RECORD, "", ""]]
    with (root / RECORD).open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows(rows)
    return root


def strip_gives(monkeypatch: pytest.MonkeyPatch, folder: Path, content: bytes) -> None:
    """A strip(1) that writes this."""
    (folder / "result").write_bytes(content)
    (folder / "strip").write_text(f'#!/bin/sh\nshift; cp "{folder}/result" "$2"\n')
    (folder / "strip").chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:{os.environ['PATH']}")


def test_a_library_whose_segments_stay_is_replaced_and_record_says_so(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    stripped = bytearray(elf(b"code", b""))
    stripped[40:48], stripped[60:64] = struct.pack("<Q", 99), struct.pack("<2H", 2, 1)  # its sections lie elsewhere
    strip_gives(monkeypatch, tmp_path, bytes(stripped))
    assert symbols.strip_all(site, site / RECORD) == len(TABLES)
    library = site / "torch/lib/libtorch.so"
    assert library.read_bytes() == stripped
    assert library.stat().st_mode & 0o777 == 0o755
    rows = {row[0]: row for row in csv.reader((site / RECORD).read_text().splitlines())}
    assert rows["torch/lib/libtorch.so"] == headers.row(site, "torch/lib/libtorch.so")
    assert sorted(path.name for path in library.parent.iterdir()) == ["libtorch.so"]


@pytest.mark.parametrize("content", [elf(b"edoc", b""), elf(b"code and more", b""), elf(b"code", TABLES)])
def test_a_library_that_would_load_otherwise_or_frees_nothing_stays(
    site: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes
) -> None:
    strip_gives(monkeypatch, tmp_path, content)
    record = (site / RECORD).read_text()
    assert symbols.strip_all(site, site / RECORD) == 0
    assert (site / "torch/lib/libtorch.so").read_bytes() == elf(b"code", TABLES)
    assert (site / RECORD).read_text() == record


def test_what_is_no_elf_file_of_64_bits_is_refused() -> None:
    with pytest.raises(ValueError, match="64 bits"):
        symbols.mapped(b"\x7fELF\x01\x01" + bytes(100))
