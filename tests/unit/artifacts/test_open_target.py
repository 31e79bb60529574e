"""Files on a disk, in a wheel, in a layout: how a target is opened, and what is wrong with it."""

import hashlib
import json
import os
import struct
import time
import zipfile
from pathlib import Path

import pytest

from arrstack.artifacts import wheel as wheel_module
from arrstack.artifacts.blob import BlobError, BytesBlob, FileBlob
from arrstack.artifacts.disk import Directory, SingleFile
from arrstack.artifacts.files import File, Item, Problem
from arrstack.artifacts.layout import OciLayout
from arrstack.artifacts.open import open_target
from arrstack.artifacts.wheel import WheelFile


def items(target: Path) -> list[Item]:
    return list(open_target(target).items())


def said(target: Path) -> list[str]:
    return [f"{item.path}: {item.message}" for item in items(target) if isinstance(item, Problem)]


def zipped(path: Path, members: list[tuple[str, bytes]], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, data in members:
            archive.writestr(zipfile.ZipInfo(name), data, compression)
    return path


def test_a_target_is_opened_by_what_it_is(tmp_path: Path) -> None:
    zipped(tmp_path / "a.whl", [("x", b"")])
    (tmp_path / "b.so").write_bytes(b"b")
    (tmp_path / "c").write_bytes((tmp_path / "a.whl").read_bytes())
    kinds = [type(open_target(tmp_path / name)) for name in ("a.whl", "b.so", "c", ".")]
    assert kinds == [WheelFile, SingleFile, WheelFile, Directory]


def test_two_members_with_one_path_are_an_error(tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate"):
        path = zipped(tmp_path / "x.whl", [("a/x.so", b"1"), ("a/x.so", b"2")])
    assert said(path) == ["a/x.so: two members have this path: which one counts depends on who unpacks it"]
    assert "two members" in said(zipped(tmp_path / "y.whl", [("a/x.so", b"1"), ("a//x.so", b"2")]))[0]


def test_members_that_lie_over_each_other_are_an_error(tmp_path: Path) -> None:
    path = zipped(tmp_path / "x.whl", [("a.so", b"1" * 50), ("b.so", b"2" * 50)], zipfile.ZIP_STORED)
    data = bytearray(path.read_bytes())
    second = data.index(b"PK\1\2", data.index(b"PK\1\2") + 1)
    struct.pack_into("<I", data, second + 42, 0)
    path.write_bytes(data)
    assert said(path) == ["b.so: corrupt: it lies over the member before it"]


def test_many_members_that_together_are_a_bomb_are_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel_module, "RATIO_COUNTS_FROM", 100_000)
    path = zipped(tmp_path / "x.whl", [(f"{number}.so", bytes(90_000)) for number in range(8)])
    opened = [item for item in items(path) if isinstance(item, File)]
    opened[0].open()
    with pytest.raises(BlobError, match="decompression bomb"):
        opened[1].open()


def test_a_wheel_that_git_lfs_has_not_fetched_is_said_to_be_that(tmp_path: Path) -> None:
    path = tmp_path / "x.whl"
    path.write_bytes(b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 5\n")
    assert "a Git LFS pointer" in said(path)[0]


def test_a_member_is_read_as_it_was_written(tmp_path: Path) -> None:
    noise = bytes((i * 7919 + i // 251) % 256 for i in range(3 << 20))
    for compression in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        [item] = items(zipped(tmp_path / "x.whl", [("a", noise)], compression))
        assert isinstance(item, File) and item.head == noise[:4096]
        blob = item.open()
        assert (blob.size, blob.read(1 << 20, 1000)) == (len(noise), noise[1 << 20 : (1 << 20) + 1000])


def test_a_deflated_member_is_read_forwards_and_backwards_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel_module, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("arrstack.artifacts.deflate.CHECKPOINT_BYTES", 1 << 18)
    noise = os.urandom(1000) * 5000
    [item] = items(zipped(tmp_path / "x.whl", [("a", noise)]))
    assert isinstance(item, File)
    blob = item.open()
    for offset in (0, 4_000_000, 3_999_000, 3_000_000, 4_999_990, 10, 2_500_000):
        assert blob.read(offset, 500) == noise[offset : offset + 500]
    assert list(blob.find(noise[:1000], 1, 3500)) == [1000, 2000]


def test_a_member_that_would_be_inflated_over_and_over_is_given_up(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wheel_module, "IN_MEMORY_BYTES", 0)
    monkeypatch.setattr("arrstack.artifacts.deflate.MAX_AGAIN", 0)
    [item] = items(zipped(tmp_path / "x.whl", [("a", os.urandom(4 << 20))]))
    assert isinstance(item, File)
    blob = item.open()
    blob.read(3 << 20, 10)
    blob.read(0, 10)
    with pytest.raises(BlobError, match="many times over"):
        [blob.read(offset, 10) for offset in range(3 << 20, 0, -(1 << 18))]


def test_a_terabyte_of_holes_is_searched_at_once(tmp_path: Path) -> None:
    path = tmp_path / "sparse"
    with path.open("wb") as file:
        file.truncate(1 << 40)
        for at in (4096, 1 << 39, (1 << 40) - 4):
            file.seek(at)
            file.write(b"WORD")
    began = time.monotonic()
    assert list(FileBlob(path).find(b"WORD", 0, 1 << 40)) == [4096, 1 << 39, (1 << 40) - 4]
    assert list(FileBlob(path).find(b"WORD", 4097, (1 << 40) - 1)) == [1 << 39]
    assert list(FileBlob(path).find(b"\0WORD", 0, 1 << 40)) == [4095, (1 << 39) - 1, (1 << 40) - 5]
    assert time.monotonic() - began < 2


def test_a_file_is_searched_as_its_bytes_are(tmp_path: Path) -> None:
    data = os.urandom(5000) + b"WORDWORD" + bytes(9000) + b"WORD"
    (tmp_path / "x").write_bytes(data)
    for start, end in ((0, len(data)), (5001, len(data)), (0, 5007), (0, 1 << 62)):
        for word in (b"WORD", b"\0\0\0", b"\0\0\0WORD"):
            assert list(FileBlob(tmp_path / "x").find(word, start, end)) == list(BytesBlob(data).find(word, start, end))


def test_a_pipe_is_no_blob_and_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(BlobError, match="not a regular file"):
        FileBlob(tmp_path / "pipe")


def layout(directory: Path, manifest: bytes, layer: bytes = b"") -> Path:
    blobs = directory / "blobs" / "sha256"
    blobs.mkdir(parents=True)
    digest = hashlib.sha256(manifest).hexdigest()
    (blobs / digest).write_bytes(manifest)
    (blobs / hashlib.sha256(layer).hexdigest()).write_bytes(layer)
    (directory / "oci-layout").write_text("{}")
    (directory / "index.json").write_text(json.dumps({"manifests": [{"digest": f"sha256:{digest}"}]}))
    return directory


def test_a_manifest_of_another_digest_is_an_error(tmp_path: Path) -> None:
    directory = layout(tmp_path, b'{"layers": []}')
    [blob] = [path for path in (directory / "blobs/sha256").iterdir() if path.read_bytes()]
    blob.write_bytes(b'{"layers": [ ]}')
    [problem] = OciLayout(directory, "").items()
    assert isinstance(problem, Problem) and "its content has another digest" in problem.message


def test_a_layer_that_is_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    digest = hashlib.sha256(b"layer").hexdigest()
    directory = layout(tmp_path, json.dumps({"layers": [{"digest": f"sha256:{digest}"}]}).encode(), b"layer")
    (directory / "blobs/sha256" / digest).unlink()
    os.mkfifo(directory / "blobs/sha256" / digest)
    [problem] = OciLayout(directory, "").items()
    assert isinstance(problem, Problem) and "not a regular file" in problem.message


def patched(path: Path, changes: list[tuple[bytes, int, str, int]]) -> Path:
    """A zip whose local (PK 3 4) or central (PK 1 2) header has other values: (magic, offset in it, layout, value)."""
    data = bytearray(path.read_bytes())
    for magic, at, layout, value in changes:
        struct.pack_into(layout, data, data.index(magic) + at, value)
    path.write_bytes(data)
    return path


LOCAL, CENTRAL = b"PK\3\4", b"PK\1\2"


def opened(path: Path) -> str:
    """What is said when the first member is opened."""
    item = next(item for item in items(path) if isinstance(item, File))
    with pytest.raises(BlobError) as caught:
        item.open()
    return str(caught.value)


def test_what_is_wrong_with_a_member_is_said(tmp_path: Path) -> None:
    def made(*changes: tuple[bytes, int, str, int], compression: int = zipfile.ZIP_DEFLATED) -> Path:
        return patched(zipped(tmp_path / "x.whl", [("a.so", b"data" * 100)], compression), list(changes))

    assert said(made((CENTRAL, 8, "<H", 1))) == ["a.so: it is encrypted"]
    assert said(made((CENTRAL, 10, "<H", 12))) == ["a.so: its compression (zip method 12) is none that wheels use"]
    assert said(made((LOCAL, 0, "<I", 0))) == ["a.so: corrupt: no member stands where the archive's directory says"]
    assert said(made((CENTRAL, 20, "<I", 5000))) == ["a.so: corrupt: truncated: the archive ends before the member does"]
    assert opened(made((CENTRAL, 24, "<I", 399), compression=zipfile.ZIP_STORED)) == "corrupt: stored, with two sizes"
    assert opened(made((CENTRAL, 24, "<I", 399))) == "inflates to more than the 399 bytes that the archive declares"
    assert opened(made((CENTRAL, 24, "<I", 401))) == "truncated: 400 of 401 bytes"
    crc = "corrupt: its checksum (CRC-32) is not the one that the archive declares"
    assert opened(made((CENTRAL, 16, "<I", 1))) == crc
    assert said(made((LOCAL, 30 + 4, "<H", 0xFFFF)))[0].startswith("a.so: corrupt: Error -3 while decompressing")


def test_what_is_wrong_with_a_zip_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = zipped(tmp_path / "x.whl", [("a.so", b"1"), ("b.so", b"2")])
    monkeypatch.setattr(wheel_module, "MAX_MEMBERS", 1)
    assert said(path) == [f"{path}: 2 members, more than 1"]
    monkeypatch.setattr(wheel_module, "MAX_MEMBERS", 2)
    assert said(path) == []
    monkeypatch.setattr(wheel_module, "MAX_ZIP_DIRECTORY", 10)
    assert said(path) == [f"{path}: not a wheel that can be read: its directory says that it has 100 bytes"]
    path.write_bytes(b"PK\3\4")
    assert said(path) == [f"{path}: not a wheel that can be read: it has no zip directory at its end"]


def test_a_local_header_may_hold_more_than_the_directory_says(tmp_path: Path) -> None:
    path = tmp_path / "x.whl"
    with zipfile.ZipFile(path, "w") as archive:
        info = zipfile.ZipInfo("a.so")
        info.extra = struct.pack("<HH4s", 0xCAFE, 4, b"more")
        archive.writestr(info, b"data")
    [item] = items(path)
    assert isinstance(item, File) and (item.head, item.open().read(0, 9)) == (b"data", b"data")


def test_a_link_in_a_wheel_is_a_link_and_a_folder_is_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(zipfile.ZipInfo("folder/"), b"")
        info = zipfile.ZipInfo("a.so")
        info.create_system, info.external_attr = 3, 0o120777 << 16
        archive.writestr(info, b"b.so")
    [link] = items(path)
    assert (link.path, getattr(link, "target", None)) == ("a.so", "b.so")


def test_files_and_links_of_a_folder_are_listed_in_order(tmp_path: Path) -> None:
    (tmp_path / "b").mkdir()
    (tmp_path / "b/x").write_bytes(b"x" * 5000)
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "l").symlink_to("b")
    found = items(tmp_path)
    assert [item.path for item in found] == ["l", "a", "b/x"] or [item.path for item in found] == ["a", "l", "b/x"]
    [large] = [item for item in found if isinstance(item, File) and item.path == "b/x"]
    assert (large.size, large.head, large.open().size) == (5000, b"x" * 4096, 5000)


def test_a_file_cut_short_while_it_is_read_and_offsets_beyond_are_empty(tmp_path: Path) -> None:
    (tmp_path / "x").write_bytes(b"12345")
    blob = FileBlob(tmp_path / "x")
    assert (blob.read(4, 10), blob.read(5, 10), blob.read(100, 1)) == (b"5", b"", b"")
    with pytest.raises(BlobError, match="cannot be read at"):
        blob.read(1 << 64, 1)
    with pytest.raises(BlobError, match=r"^cannot be read: No such file or directory$"):
        FileBlob(tmp_path / "y")
    again = FileBlob.of_descriptor(blob._fd)
    blob.close()
    blob.close()
    assert (again.size, again.read(0, 5)) == (5, b"12345")
