"""Chunks that a stranger wrote: nothing but what the list names goes in, and nothing takes memory or disk that the list does not say."""

import contextlib
import io
import os
import resource
import tarfile
import time
from pathlib import Path

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from arrstack.compiler_cache import CacheFolder, Chunk, chunks
from arrstack.errors import MachineError, RegistryError

NAME = f"0/1/{'0' * 29}1R"
DIGEST = f"sha256:{'0' * 64}"


def member(name: str = NAME, data: bytes = b"data", **fields: object) -> tuple[tarfile.TarInfo, bytes]:
    found = tarfile.TarInfo(name)
    found.size = len(data)
    for key, value in fields.items():
        setattr(found, key, value)
    return found, data


def tar_of(*members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.GNU_FORMAT) -> bytes:
    made = io.BytesIO()
    for info, data in members:
        made.write(info.tobuf(form))
        made.write(data + bytes(-len(data) % 512))
    return made.getvalue() + bytes(1024)


def unpacked(tmp_path: Path, tar: bytes, entries: dict[str, int], compressed: bytes | None = None) -> dict[str, bytes]:
    blob, folder = tmp_path / "blob", CacheFolder(tmp_path / "cache")
    blob.write_bytes(zstandard.compress(tar) if compressed is None else compressed)
    chunks.unpack(blob, Chunk(DIGEST, DIGEST, 1, entries), folder, dict.fromkeys(entries, DIGEST))
    return {name: (tmp_path / "cache" / name).read_bytes() for name in folder.entries()}


def test_what_the_list_names_goes_in(tmp_path: Path) -> None:
    assert unpacked(tmp_path, tar_of(member()), {NAME: 4}) == {NAME: b"data"}


def test_an_empty_entry_and_those_of_whole_blocks_go_in(tmp_path: Path) -> None:
    names = [NAME.replace("1R", f"{number}R") for number in range(3)]
    contents = dict(zip(names, (b"", b"x" * 512, b"y" * 513), strict=True))
    tar = tar_of(*(member(name, data) for name, data in contents.items()))
    assert unpacked(tmp_path, tar, {name: len(data) for name, data in contents.items()}) == contents


def test_what_is_wanted_of_another_chunk_stays_out(tmp_path: Path) -> None:
    other = NAME.replace("1R", "2R")
    blob = tmp_path / "blob"
    blob.write_bytes(zstandard.compress(tar_of(member(), member(other, b"x" * 2000))))
    folder = CacheFolder(tmp_path / "cache")
    assert chunks.unpack(blob, Chunk(DIGEST, DIGEST, 1, {NAME: 4, other: 2000}), folder, {NAME: "another", other: DIGEST}) == {
        other: 2000
    }
    assert folder.entries() == {other: 2000}


@pytest.mark.parametrize(
    "hostile",
    [
        member(type=tarfile.SYMTYPE, linkname="/etc/passwd"),
        member(type=tarfile.LNKTYPE, linkname="/etc/passwd"),
        member(type=tarfile.CHRTYPE),
        member(type=tarfile.FIFOTYPE),
        member(type=tarfile.DIRTYPE),
        member(type=tarfile.CONTTYPE),
        member(type=tarfile.GNUTYPE_SPARSE),
        member(type=tarfile.GNUTYPE_LONGNAME),
        member(type=tarfile.XHDTYPE, data=b"30 path=../../../../etc/passwd\n"),
        member(type=tarfile.XGLTYPE),
        member("../../etc/passwd"),
        member("/etc/passwd"),
        member(NAME + "/"),
        member("./" + NAME),
        member("0/1/stats"),
        member("ccache.conf"),
        member("\udcff" * 10),
        member(data=b"longer than the list says"),
        member(data=b""),
        member(NAME.replace("1R", "2R")),
    ],
)
def test_whatever_else_stands_in_a_chunk_is_refused(tmp_path: Path, hostile: tuple[tarfile.TarInfo, bytes]) -> None:
    with pytest.raises(RegistryError, match=r"which its list does not name|cannot be read"):
        unpacked(tmp_path, tar_of(hostile), {NAME: 4})
    assert not (tmp_path / "cache").exists() or CacheFolder(tmp_path / "cache").entries() == {}


def test_a_name_that_comes_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="which its list does not name"):
        unpacked(tmp_path, tar_of(member(), member(data=b"evil")), {NAME: 4})


@pytest.mark.parametrize(
    "tar",
    [
        b"",
        b"x" * 511,
        b"x" * 512,
        b"x" * 100_000,
        tar_of(member(data=b"data" * 200))[:600],
        tar_of(member(data=bytes(5000)))[:2000],
    ],
)
def test_a_chunk_that_is_cut_or_no_tar_is_refused(tmp_path: Path, tar: bytes) -> None:
    with pytest.raises(RegistryError, match="cannot be read"):
        unpacked(tmp_path, tar, {NAME: 800 if b"data" in tar else 5000})
    assert CacheFolder(tmp_path / "cache").entries() == {}
    assert not list(tmp_path.glob("cache/0/1/.*")), "what was begun is still there"


def test_a_chunk_that_is_not_compressed_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="cannot be read"):
        unpacked(tmp_path, b"", {NAME: 4}, compressed=tar_of(member()))


def bombs() -> list[bytes]:
    """Small blobs that unpack to gigabytes: behind the end of the tar, as a member, as a header that goes on, as a sparse file."""
    zeros = zstandard.ZstdCompressor(level=1)

    def packed(head: bytes, size: int) -> bytes:
        made = io.BytesIO()
        with zeros.stream_writer(made, closefd=False) as writer:
            writer.write(head)
            for _ in range(size >> 20):
                writer.write(bytes(1 << 20))
        return made.getvalue()

    huge = tarfile.TarInfo(NAME)
    huge.size = 3 << 30
    extended = tarfile.TarInfo("pax")
    extended.size, extended.type = 3 << 30, tarfile.XHDTYPE
    sparse = tarfile.TarInfo(NAME)
    sparse.size, sparse.type = 8 << 40, tarfile.GNUTYPE_SPARSE
    heads = [
        tar_of(member()),
        huge.tobuf(tarfile.GNU_FORMAT),
        extended.tobuf(tarfile.GNU_FORMAT),
        sparse.tobuf(tarfile.GNU_FORMAT),
    ]
    return [packed(head, 256 << 20) for head in heads]


def test_a_bomb_takes_neither_memory_nor_time(tmp_path: Path) -> None:
    for number, bomb in enumerate(bombs()):
        began, before = time.monotonic(), resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        try:
            unpacked(tmp_path, b"", {NAME: 4}, compressed=bomb)
        except RegistryError:
            assert number > 0
        assert time.monotonic() - began < 5
        assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200 << 10, "kibibytes"


@pytest.mark.parametrize(
    "fields",
    [
        {"digest": "sha256:0"},
        {"diff_id": "md5:0"},
        {"size": -1},
        {"entries": {NAME: -1}},
        {"entries": {NAME: 1 << 40}},
        {"entries": {"../x": 1}},
        {"entries": {"ccache.conf": 1}},
    ],
)
def test_a_list_that_no_chunk_can_have_is_refused(fields: dict[str, object]) -> None:
    import msgspec

    right = {"digest": DIGEST, "diff_id": DIGEST, "size": 1, "entries": {NAME: 1}}
    msgspec.convert(right, Chunk)
    with pytest.raises(msgspec.ValidationError):
        msgspec.convert(right | fields, Chunk)


# -- packing


def filled(folder: Path, name: str = NAME, data: bytes = b"data") -> CacheFolder:
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data)
    return CacheFolder(folder)


def test_what_is_packed_comes_out_again(tmp_path: Path) -> None:
    here, there = filled(tmp_path / "here", data=os.urandom(5000)), CacheFolder(tmp_path / "there")
    (tmp_path / "blobs").mkdir()
    chunk = chunks.pack(here, [NAME], tmp_path / "blobs")
    (blob,) = (tmp_path / "blobs").iterdir()
    assert (chunk.entries, chunk.size) == ({NAME: 5000}, blob.stat().st_size)
    assert chunks.unpack(blob, chunk, there, {NAME: chunk.digest}) == {NAME: 5000}
    assert (tmp_path / "there" / NAME).read_bytes() == (tmp_path / "here" / NAME).read_bytes()


def test_what_is_gone_or_no_file_any_more_is_left_out(tmp_path: Path) -> None:
    here = filled(tmp_path / "here")
    (tmp_path / "secret").write_text("of the host")
    names = [NAME.replace("1R", f"{number}R") for number in range(2, 6)]
    folder = (tmp_path / "here" / NAME).parent
    (folder / names[0].rpartition("/")[2]).symlink_to(tmp_path / "secret")
    os.mkfifo(folder / names[1].rpartition("/")[2])
    (folder / names[2].rpartition("/")[2]).mkdir()
    (tmp_path / "blobs").mkdir()
    linked = f"a/{names[3]}"
    (tmp_path / "here/a").symlink_to(tmp_path / "here")
    assert chunks.pack(here, [NAME, *names, linked], tmp_path / "blobs").entries == {NAME: 4}
    assert here.entries() == {NAME: 4}


def test_an_entry_that_shrinks_while_it_is_read_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = filled(tmp_path / "here")
    (tmp_path / "blobs").mkdir()
    size = os.fstat

    class Larger:
        def __init__(self, found: os.stat_result) -> None:
            self.st_size, self.st_mode = found.st_size + 10, found.st_mode

    monkeypatch.setattr(os, "fstat", lambda descriptor: Larger(size(descriptor)))
    with pytest.raises(MachineError, match="changed while it was read"):
        chunks.pack(here, [NAME], tmp_path / "blobs")


WHOLE = tar_of(member(), member(NAME.replace("1R", "2R"), b"x" * 700), form=tarfile.PAX_FORMAT)


@given(st.lists(st.tuples(st.integers(0, len(WHOLE) - 1), st.binary(min_size=1, max_size=24)), min_size=1, max_size=5))
def test_no_edit_of_a_chunk_lets_anything_else_in(
    tmp_path_factory: pytest.TempPathFactory, edits: "list[tuple[int, bytes]]"
) -> None:
    tar = bytearray(WHOLE)
    for at, piece in edits:
        tar[at : at + len(piece)] = piece
    folder = tmp_path_factory.mktemp("fuzz")
    sizes = {NAME: 4, NAME.replace("1R", "2R"): 700}
    with contextlib.suppress(RegistryError):
        assert unpacked(folder, bytes(tar), sizes).keys() <= sizes.keys()
    written = [path for path in (folder / "cache").rglob("*") if path.is_file()]
    assert {str(path.relative_to(folder / "cache")): path.stat().st_size for path in written}.items() <= sizes.items()
