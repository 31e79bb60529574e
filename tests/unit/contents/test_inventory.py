"""What is found in an image, by one pass over its layers."""

import gzip
import random
import tarfile
import zipfile
from io import BytesIO
from pathlib import Path

import pytest

from arrstack.artifacts.blob import BlobError
from arrstack.artifacts.files import File
from arrstack.artifacts.open import open_target
from arrstack.contents import owners
from arrstack.contents.collect import take_inventory
from arrstack.contents.inventory import Inventory, Kind
from tests.unit.artifacts.archives import Entries
from tests.unit.contents.images import METADATA, SITE, STATUS, image, system, torch
from tests.unit.verify.verify_builders import library, raw_elf


@pytest.fixture
def found(tmp_path: Path) -> Inventory:
    return take_inventory(image(tmp_path / "image", [system(), torch()], made_by=["/bin/sh", "/bin/sh -c pip install torch"]))


def by_name(inventory: Inventory) -> dict[str, tuple[int, int]]:
    return {package.name: (package.files, package.bytes) for package in inventory.packages}


def test_installed_packages_are_found_and_others_are_not(found: Inventory) -> None:
    assert [(each.kind, each.name, each.version) for each in found.packages] == [
        (Kind.DEBIAN, "libc6", "2.41-12+b1"),
        (Kind.DEBIAN, "tzdata", "2026a-1"),
        (Kind.PYTHON, "torch", "2.6.0"),
    ]


def test_a_package_knows_the_source_that_it_was_built_from(found: Inventory) -> None:
    libc, tzdata, _ = found.packages
    assert (libc.source, libc.source_version) == ("glibc", "2.41-12")
    assert (tzdata.source, tzdata.source_version) == ("tzdata", "2026a-1")


def test_licences_are_those_that_the_packages_state_also_through_a_link(found: Inventory) -> None:
    libc, tzdata, torch = found.packages
    assert libc.licences == tzdata.licences == ("GPL-2+", "LGPL-2.1+")
    assert torch.licences == ("BSD-3-Clause",)


def test_each_file_counts_for_its_owner_also_below_a_merged_usr(found: Inventory) -> None:
    assert by_name(found)["libc6"] == (1, 100)
    files, size = by_name(found)["torch"]
    assert (files, size) == (3, 3 + 1000 + len(METADATA))


def test_files_without_an_owner_count_by_folder(found: Inventory) -> None:
    assert ("/opt/app", 10) in {(cell.owner, cell.bytes) for cell in found.cells if not cell.is_package}


def test_layers_have_what_is_stored_what_is_seen_and_who_made_them(found: Inventory) -> None:
    assert [part.made_by for part in found.parts] == ["", "pip install torch"]
    assert all(part.stored > part.bytes for part in found.parts)
    assert sum(part.bytes for part in found.parts) == found.bytes


def test_bytes_that_a_higher_layer_replaces_are_counted_as_hidden(tmp_path: Path) -> None:
    layers = [Entries().file("a", b"1" * 1000), Entries().file("a", b"2" * 10)]
    low, high = take_inventory(image(tmp_path / "i", layers)).parts
    assert (low.bytes, low.hidden, high.bytes, high.hidden) == (0, 1000, 10, 0)


def test_a_file_that_a_higher_layer_removes_belongs_to_no_package(tmp_path: Path) -> None:
    found = take_inventory(image(tmp_path / "i", [system(), Entries().file("usr/share/zoneinfo/.wh.UTC", b"")]))
    assert by_name(found)["tzdata"] == (0, 0)


def test_the_status_file_of_the_highest_layer_counts(tmp_path: Path) -> None:
    newer = Entries().file("var/lib/dpkg/status", STATUS.replace("2026a-1", "2026b-1").encode())
    found = take_inventory(image(tmp_path / "i", [system(), newer]))
    assert [each.version for each in found.packages if each.name == "tzdata"] == ["2026b-1"]


def test_a_python_package_that_the_distribution_brought_is_told_once(tmp_path: Path) -> None:
    layer = system().file(f"{SITE}/six-1.egg-info/PKG-INFO", b"Name: six\nVersion: 1\n")
    layer.file("var/lib/dpkg/info/libc6.list", f"/{SITE}/six-1.egg-info/PKG-INFO\n".encode())
    assert "six" not in by_name(take_inventory(image(tmp_path / "i", [layer])))


def test_a_python_package_without_a_list_owns_the_folder_of_its_name(tmp_path: Path) -> None:
    layer = (
        Entries().file(f"{SITE}/my_pkg-1.dist-info/METADATA", b"Name: my.pkg\nVersion: 1\n").file(f"{SITE}/my_pkg/a/b.py", b"12")
    )
    assert by_name(take_inventory(image(tmp_path / "i", [layer]))) == {"my-pkg": (1, 2)}


def test_device_code_is_counted_by_library_and_architecture(tmp_path: Path) -> None:
    layer = Entries().file(f"{SITE}/torch/lib/libtorch_cuda.so", library(89, 90))
    found = take_inventory(image(tmp_path / "i", [layer]))
    assert found.architectures == ("sm_89", "sm_90")
    assert set(found.libraries[0].code) == {"sm_89", "sm_90"}


def test_the_same_content_twice_is_a_duplicate_and_small_files_are_not(tmp_path: Path) -> None:
    data = random.Random(1).randbytes(5000)
    layer = Entries().file("a/one", data).file("b/two", data).file("c", b"s").file("d", b"s")
    (twice,) = take_inventory(image(tmp_path / "i", [layer])).duplicates
    assert (twice.paths, twice.wasted) == (("a/one", "b/two"), 5000)


def test_what_could_be_left_out_is_listed_by_kind_with_bytes(tmp_path: Path) -> None:
    layer = (
        Entries()
        .file("usr/lib/libx.a", b"!<arch>\n" + b"x" * 92)
        .file("usr/include/x.h", b"h" * 70)
        .file("usr/share/doc/x/readme", b"d" * 30)
        .file("usr/share/doc/x/copyright", b"c" * 30)
        .file("usr/lib/x.so", raw_elf([(".debug_info", 1, b"d" * 500, 0, 0, 0), (".text", 1, b"t" * 10, 0, 0, 0)]))
    )
    savings = {each.kind: each.bytes for each in take_inventory(image(tmp_path / "i", [layer])).savings}
    assert savings["static archives"] == 100
    assert savings["headers"] == 70
    assert savings["documentation"] == 30
    assert savings["debug information"] == 500


def test_a_directory_of_wheels_is_read_wheel_by_wheel(tmp_path: Path) -> None:
    for name in ("one", "two"):
        with zipfile.ZipFile(tmp_path / f"{name}-1-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
            wheel.writestr(f"{name}/__init__.py", "x" * 5000)
            wheel.writestr(f"{name}-1.dist-info/METADATA", f"Name: {name}\nVersion: 1\n")
            wheel.writestr(f"{name}-1.dist-info/RECORD", f"{name}/__init__.py,,\n")
    found = take_inventory(open_target(tmp_path))
    assert by_name(found) == {"one": (1, 5000), "two": (1, 5000)}
    assert {part.name: part.files for part in found.parts} == {"one-1-py3-none-any.whl": 3, "two-1-py3-none-any.whl": 3}
    assert 0 < found.stored < found.bytes


# -- bad input


def test_a_corrupt_layer_is_a_problem_and_what_was_read_before_stays(tmp_path: Path) -> None:
    source = image(tmp_path / "i", [system(), gzip.compress(torch().tar())[:-40]])
    found = take_inventory(source)
    assert any("layer 2" in problem.path for problem in found.problems)
    assert "libc6" in by_name(found)


def test_a_layer_with_another_digest_is_a_problem(tmp_path: Path) -> None:
    source = image(tmp_path / "i", [system()])
    largest = max((tmp_path / "i/blobs/sha256").iterdir(), key=lambda path: path.stat().st_size)
    data = bytearray(largest.read_bytes())
    data[5000] ^= 1
    largest.write_bytes(data)
    assert any("another digest" in problem.message for problem in take_inventory(source).problems)


def test_what_is_no_image_is_a_problem_and_no_traceback(tmp_path: Path) -> None:
    source = image(tmp_path / "i", [system()])
    (tmp_path / "i/index.json").write_text('{"manifests": [{"digest": "sha256:zz", "size": "x"}]}')
    assert "not an image that can be read" in take_inventory(source).problems[0].message


@pytest.mark.parametrize(
    "text",
    [b"\xff\xfe\0\0", b"Package\n" * 100, b"Package: a\nVersion:\n\n", b":\n: :\n", b"Package: " + b"a" * 100_000],
)
def test_a_status_file_of_any_bytes_raises_nothing(tmp_path: Path, text: bytes) -> None:
    assert take_inventory(image(tmp_path / "i", [Entries().file("var/lib/dpkg/status", text)])).packages == ()


@pytest.mark.parametrize("text", [b"\0,\0\n", b'"unclosed\n' * 3, b",,,\n", b"../../../../../../etc/passwd,,\n", b"a" * 200_000])
def test_a_record_of_any_bytes_raises_nothing(tmp_path: Path, text: bytes) -> None:
    layer = Entries().file("x/a-1.dist-info/METADATA", b"Name: a\nVersion: 1\n").file("x/a-1.dist-info/RECORD", text)
    assert [each.name for each in take_inventory(image(tmp_path / "i", [layer])).packages] == ["a"]


def test_lists_without_an_end_are_given_up_with_a_finding(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(owners, "MAX_OWNED", 10)
    layer = system().file("var/lib/dpkg/info/big.list", b"".join(b"/f%d\n" % number for number in range(100)))
    assert any("more than 10 paths" in problem.message for problem in take_inventory(image(tmp_path / "i", [layer])).problems)


def test_a_file_is_hashed_from_its_stream_without_being_kept(tmp_path: Path) -> None:
    source = image(tmp_path / "i", [Entries().file("big", b"z" * (3 << 20))])
    (item,) = [item for item in source.items() if isinstance(item, File)]
    assert item.stream
    source = image(tmp_path / "j", [Entries().file("big", b"z" * (3 << 20))])
    for item in source.items():
        assert isinstance(item, File)
        pieces = [len(chunk) for chunk in item.chunks()]
    assert max(pieces) <= 1 << 20
    assert sum(pieces) == 3 << 20


def test_a_truncated_file_is_told_when_its_stream_ends(tmp_path: Path) -> None:
    out = BytesIO()
    with tarfile.open(fileobj=out, mode="w") as tar:
        info = tarfile.TarInfo("big")
        info.size = 1 << 20
        tar.addfile(info, BytesIO(b"z" * (1 << 20)))
    source = image(tmp_path / "i", [out.getvalue()[: 1 << 19]])
    for item in source.items():
        if isinstance(item, File):
            with pytest.raises(BlobError):
                list(item.chunks())
