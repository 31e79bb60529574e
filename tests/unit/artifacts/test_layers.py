"""What is left when layers lie on each other (OCI image specification 1.1, "Image Layer Filesystem Changeset")."""

import gzip
import hashlib
import io
import tarfile
from pathlib import Path

import pytest
import zstandard
from archives import Entries, files, links, merged, said

from arrstack.artifacts import layers as layers_module
from arrstack.artifacts.blob import BlobError
from arrstack.artifacts.files import File
from arrstack.artifacts.layers import Layer, merge_layers


def test_an_upper_file_replaces_a_lower_one() -> None:
    assert files(merged(Entries().file("a", b"old").file("b"), Entries().file("a", b"new"))) == {"a": b"new", "b": b"x"}


def test_a_folder_that_becomes_a_link_takes_its_files_with_it() -> None:
    items = merged(Entries().file("lib/x.so").file("lib/deep/y.so"), Entries().link("lib", "usr/lib"))
    assert (files(items), links(items)) == ({}, {"lib": "usr/lib"})


def test_a_folder_that_becomes_a_file_or_a_device_takes_its_files_with_it() -> None:
    assert files(merged(Entries().file("lib/x.so"), Entries().file("lib", b"f"))) == {"lib": b"f"}
    assert files(merged(Entries().file("lib/x.so"), Entries().device("lib"))) == {}


def test_a_file_that_becomes_a_folder_is_gone() -> None:
    assert files(merged(Entries().file("x.so"), Entries().folder("x.so"))) == {}
    assert files(merged(Entries().file("x.so"), Entries().file("x.so/inner", b"i"))) == {"x.so/inner": b"i"}
    assert links(merged(Entries().link("lib", "usr/lib"), Entries().file("lib/x"))) == {}


def test_a_file_that_becomes_a_device_is_gone() -> None:
    assert files(merged(Entries().file("x.so"), Entries().device("x.so"))) == {}


def test_what_a_middle_layer_replaced_does_not_come_back_when_the_top_one_replaces_that() -> None:
    assert files(merged(Entries().file("a/x.so"), Entries().file("a", b"file"), Entries().file("a/y.so"))) == {"a/y.so": b"x"}


def test_a_folder_merges_with_the_one_below() -> None:
    items = merged(Entries().folder("lib").file("lib/x"), Entries().folder("lib").file("lib/y"))
    assert set(files(items)) == {"lib/x", "lib/y"}


def test_a_whiteout_removes_a_file_and_a_whole_folder_of_the_layers_below_alone() -> None:
    items = merged(
        Entries().file("a/x").file("b/y").file("b/c/z").file("keep"), Entries().file("a/.wh.x").file(".wh.b").file("b/new")
    )
    assert set(files(items)) == {"keep", "b/new"}


def test_an_opaque_folder_hides_what_lies_below_it() -> None:
    assert set(files(merged(Entries().file("d/x").file("e/x"), Entries().file("d/.wh..wh..opq").file("d/y")))) == {"e/x", "d/y"}


def test_an_opaque_root_hides_everything_below() -> None:
    assert set(files(merged(Entries().file("a").file("d/x"), Entries().file(".wh..wh..opq").file("b")))) == {"b"}


def test_every_spelling_of_a_path_is_the_same_path() -> None:
    for spelling in ("lib//x.so", "./lib/x.so", "lib/./x.so", "/lib/x.so"):
        assert files(merged(Entries().file("lib/x.so", b"old"), Entries().file(spelling, b"new"))) == {"lib/x.so": b"new"}
    assert files(merged(Entries().file("lib/x.so"), Entries().file("lib//.wh.x.so"))) == {}


def test_two_entries_of_one_layer_with_one_path_are_an_error() -> None:
    assert "two entries of one layer" in said(merged(Entries().file("lib/x.so", b"1").file("lib//x.so", b"2")))[0]
    assert "two entries of one layer" in said(merged(Entries().file("x", b"1").hard_link("x", "y").file("y")))[0]


def test_a_path_out_of_the_image_is_an_error() -> None:
    assert said(merged(Entries().file("a/../../x.so"))) == ["a/../../x.so: its path leads out of the archive"]


def test_a_hard_link_to_what_is_there_is_a_link() -> None:
    items = merged(Entries().file("a.so", b"data").hard_link("b.so", "./a.so"))
    assert (files(items), links(items)) == ({"a.so": b"data"}, {"b.so": "/a.so"})


def test_what_is_left_under_the_name_of_a_hard_link_alone_is_read_under_that() -> None:
    below = Entries().file("a.so", b"data").hard_link("b.so", "a.so").hard_link("c.so", "a.so").hard_link("d.so", "c.so")
    items = merged(below, Entries().file(".wh.a.so"))
    assert files(items) == {"b.so": b"data"}
    assert links(items) == {"b.so": "/a.so", "c.so": "/b.so", "d.so": "/b.so"}
    items = merged(below, Entries().file("a.so", b"other"))
    assert files(items) == {"a.so": b"other", "b.so": b"data"}


def test_a_hard_link_to_a_file_of_a_lower_layer_is_read_there() -> None:
    items = merged(Entries().file("a.so", b"data"), Entries().hard_link("b.so", "a.so"), Entries().file(".wh.a.so"))
    assert files(items) == {"b.so": b"data"}
    items = merged(Entries().file("a.so", b"data"), Entries().hard_link("b.so", "a.so"))
    assert (files(items), links(items)) == ({"a.so": b"data"}, {"b.so": "/a.so"})


def test_a_hard_link_to_nothing_is_an_error() -> None:
    assert said(merged(Entries().hard_link("b.so", "gone.so"))) == ["b.so: a hard link to gone.so, which no layer holds"]


def test_more_files_than_the_limit_are_an_error_and_not_silence(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers_module, "MAX_MEMBERS", 3)
    full = Entries().file("1").file("2").file("3").file("4")
    assert "more than 3 files: the others were not looked at" in said(merged(full))[0]
    assert "were not looked at" in said(merged(Entries().file("0"), Entries().file("1").file("2").file("3")))[0]
    assert said(merged(Entries().file("1"), Entries().file("2").file("3"))) == []


def test_a_file_beyond_the_limit_of_size_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers_module, "MAX_FILE", 4)
    items = merged(Entries().file("x.so", b"12345").file("y.so", b"1234"))
    assert (said(items), files(items)) == (["x.so: a file of 5 bytes"], {"y.so": b"1234"})


@pytest.mark.parametrize("compress", [gzip.compress, zstandard.ZstdCompressor().compress], ids=["gzip", "zstd"])
def test_a_layer_that_inflates_out_of_all_proportion_is_given_up(monkeypatch: pytest.MonkeyPatch, compress) -> None:
    monkeypatch.setattr(layers_module, "RATIO_COUNTS_FROM", 1 << 20)
    items = merged(compress(Entries().file("zeros", bytes(64 << 20)).file("x.so").tar()))
    assert "decompression bomb" in said(items)[0]
    assert "x.so" not in files(items)
    assert said(merged(compress(Entries().file("zeros", bytes(1000)).file("x.so").tar()))) == []


def test_a_layer_of_nothing_but_headers_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers_module, "FREE_ENTRIES", 10)
    entries = Entries()
    for number in range(200):
        entries.folder(f"{number}")
    assert "entries in" in said(merged(gzip.compress(entries.tar())))[0]
    assert said(merged(entries.tar())) == [], "not compressed, each has more bytes than it must"


def test_a_large_sparse_file_is_listed_and_cannot_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(layers_module, "MAX_SPARSE", 1000)
    info = tarfile.TarInfo("big.so")
    info.pax_headers = {"GNU.sparse.map": "0,512", "GNU.sparse.size": "100000", "GNU.sparse.name": "big.so"}
    info.size = 512
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info, io.BytesIO(b"e" * 512))
    [item] = merged(out.getvalue())
    assert isinstance(item, File) and item.size == 100000
    with pytest.raises(BlobError, match=r"^a sparse file of 100000 bytes: most of it is not there$"):
        item.open()
    monkeypatch.setattr(layers_module, "MAX_SPARSE", 100000)
    for one in merge_layers([Layer(lambda: io.BytesIO(out.getvalue()))]):
        assert isinstance(one, File) and one.open().read(0, 513) == b"e" * 512 + b"\0"


@pytest.mark.parametrize("junk", ["junk", "1,2,3", "-5,10", "9" * 5000])
def test_a_malformed_extended_header_is_an_error(junk: str) -> None:
    info = tarfile.TarInfo("x.so")
    info.pax_headers = {"GNU.sparse.map": junk, "GNU.sparse.size": junk, "size": junk}
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.PAX_FORMAT) as tar:
        tar.addfile(info)
    items = merged(out.getvalue())
    assert all(isinstance(item.path, str) for item in items)


def test_the_layer_that_cannot_be_read_is_named_and_the_others_are_read() -> None:
    items = merged(Entries().file("a"), b"no tar at all" * 100, Entries().file("b"))
    assert set(files(items)) == {"a", "b"}
    assert said(items)[0].startswith("layer 2: cannot be read: ")


def test_a_layer_of_another_digest_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "layer"
    path.write_bytes(Entries().file("a").tar())
    [file, problem] = merge_layers([Layer(lambda: path.open("rb"), "sha256:" + "0" * 64)])
    assert file.path == "a"
    assert "its content has another digest" in said([problem])[0]


def test_a_name_that_is_no_utf_8_passes_through() -> None:
    assert list(files(merged(Entries().file("caf\udce9.so")))) == ["caf\udce9.so"]


def test_a_layer_may_be_named_by_either_digest(tmp_path: Path) -> None:
    path = tmp_path / "layer"
    path.write_bytes(Entries().file("a").tar())
    for algorithm in ("sha256", "sha512"):
        digest = hashlib.new(algorithm, path.read_bytes()).hexdigest()
        assert list(files(list(merge_layers([Layer(lambda: path.open("rb"), f"{algorithm}:{digest}")])))) == ["a"]


def test_a_large_member_is_spooled_and_a_truncated_one_said(monkeypatch: pytest.MonkeyPatch) -> None:
    tar = Entries().file("a", bytes(range(256)) * 40_000).tar()
    for limit in (10, 1 << 30):
        monkeypatch.setattr("arrstack.artifacts.spool.IN_MEMORY_BYTES", limit)
        for item in merge_layers([Layer(lambda: io.BytesIO(tar))]):
            assert isinstance(item, File)
            blob = item.open()
            assert (blob.size, blob.read(10_000_000, 300)) == (256 * 40_000, bytes(range(128, 256)) + bytes(range(172)))
        for item in merge_layers([Layer(lambda: io.BytesIO(tar[:9_000_000]))]):
            if isinstance(item, File):
                with pytest.raises(BlobError, match=r"cannot be read from its layer|truncated: "):
                    item.open()
                break


def test_a_layer_of_several_compressed_frames_is_read_to_its_end() -> None:
    tar = Entries().file("a").file("b", b"b" * 5000).tar()
    for compress in (gzip.compress, zstandard.ZstdCompressor().compress):
        assert set(files(merged(compress(tar[:1000]) + compress(tar[1000:])))) == {"a", "b"}
