"""What tests/hardware/pack.py makes zeros of: the code that a GPU never loads, and nothing else."""

import io
import tarfile
from pathlib import Path
from types import ModuleType

import pytest
import zstandard
from tests.conftest import ROOT
from tests.unit.image_programs.programs import program
from verify_builders import E, container, elf

from arrstack.artifacts.disk import SingleFile
from arrstack.verify.collect import collect


@pytest.fixture(scope="module")
def pack() -> ModuleType:
    return program("pack", ROOT / "tests/hardware")


def code(*entries: E) -> bytes:
    return bytes(elf({".nv_fatbin": container(entries), ".rodata": b"kept" * 70_000}))


def zeroed(pack: ModuleType, path: Path, capability: tuple[int, int]) -> bytes:
    return bytes(pack.Zeroed(path, pack.foreign(path, capability)).read())


PTX, SASS = 1, 2


@pytest.mark.parametrize(
    ("entries", "kept"),
    [
        ([E(SASS, 80), E(SASS, 90), E(PTX, 90)], [1]),
        ([E(SASS, 80), E(SASS, 86)], []),
        ([E(SASS, 80), E(PTX, 80)], [1]),
        ([E(SASS, 90)], [0]),
    ],
)
def test_what_the_driver_would_take_stays(pack: ModuleType, tmp_path: Path, entries: list[E], kept: list[int]) -> None:
    path = tmp_path / "libx.so"
    path.write_bytes(code(*entries))
    found = zeroed(pack, path, (9, 0))
    assert len(found) == path.stat().st_size
    (library,) = collect(SingleFile(path)).libraries
    held = [entry for each in library.code for entry in each.container.entries]
    for number, entry in enumerate(held):
        whole = path.read_bytes()[entry.offset : entry.offset + entry.stored]
        now = found[entry.offset : entry.offset + entry.stored]
        assert now == (whole if number in kept else bytes(len(whole)))
    gone = {place for number, e in enumerate(held) if number not in kept for place in range(e.offset, e.offset + e.stored)}
    assert all(now == was or place in gone for place, (now, was) in enumerate(zip(found, path.read_bytes(), strict=True)))


def test_a_file_read_in_pieces_is_the_same(pack: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "libx.so"
    path.write_bytes(code(E(SASS, 80), E(SASS, 90)))
    pieces, whole = pack.Zeroed(path, pack.foreign(path, (9, 0))), zeroed(pack, path, (9, 0))
    assert b"".join(iter(lambda: pieces.read(999), b"")) == whole


def test_a_root_comes_out_with_its_links_and_without_what_nobody_reads(pack: ModuleType, tmp_path: Path) -> None:
    root = tmp_path / "root"
    for name in ("usr/lib/liba.so.1", "usr/share/doc/a/copyright", "usr/include/a.h", "opt/program"):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(name)
    (root / "usr/lib/liba.so").symlink_to("liba.so.1")
    pack.main([str(root), str(tmp_path / "out"), "--exclude", "program"])
    parts = sorted((tmp_path / "out").glob("part-*/part"))
    assert len(parts) == 1
    with tarfile.open(fileobj=io.BytesIO(zstandard.ZstdDecompressor().decompressobj().decompress(parts[0].read_bytes()))) as tar:
        assert [member.name for member in tar.getmembers() if not member.isdir()] == ["usr/lib/liba.so", "usr/lib/liba.so.1"]
        assert tar.getmember("usr/lib/liba.so").linkname == "liba.so.1"
