"""What of torch's wheel only a compiler needs is packed away, told in RECORD, and comes back to the byte."""

import base64
import csv
import hashlib
from pathlib import Path

import pytest

from tests.unit.image_programs.programs import RECIPE, program

headers = program("headers", RECIPE / "build/runtime")
RECORD = "torch-2.6.0.dist-info/RECORD"
PACKED = (
    "torch/include/ATen/ATen.h",
    "torch/include/torch/extension.h",
    "torch/lib/libx.a",
    "torch/share/cmake/Torch/TorchConfig.cmake",
)
KEPT = ("torch/__init__.py", "torch/lib/libtorch.so", "torch/bin/torch_shm_manager")


def said(path: Path) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).rstrip(b"=").decode()


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A site directory with a small torch of pip's: headers, a library, and the files with the sentences."""
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1735689600")
    root = tmp_path / "site"
    sentences: dict[str, str] = {}
    for name, sentence in headers.SENTENCES:
        sentences[name] = sentences.get(name, "") + f"raise RuntimeError(f'{sentence}')\n"
    for name, text in {**dict.fromkeys([*PACKED, *KEPT], "x\n"), **sentences}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    rows = [headers.row(root, name) for name in sorted([*PACKED, *KEPT, *sentences])]
    (root / RECORD).parent.mkdir()
    with (root / RECORD).open("w", newline="") as file:
        csv.writer(file, lineterminator="\n").writerows([*rows, [RECORD, "", ""]])
    return root


def pack(site: Path) -> Path:
    archive = site.parent / "headers.tar.xz"
    headers.pack(site, site / RECORD, archive)
    return archive


def content(site: Path) -> dict[str, bytes]:
    return {str(path.relative_to(site)): path.read_bytes() for path in site.rglob("*") if path.is_file()}


def test_headers_are_packed_away_and_libraries_stay(site: Path) -> None:
    pack(site)
    assert [name for name in PACKED if (site / name).exists()] == []
    assert all((site / name).is_file() for name in KEPT)
    assert not (site / "torch/include").exists(), "no empty folder is left"


def test_record_names_exactly_what_is_there(site: Path) -> None:
    pack(site)
    rows = {row[0]: row for row in csv.reader((site / RECORD).read_text().splitlines())}
    assert set(rows) == set(content(site))
    assert all(rows[name][1] == f"sha256={said(site / name)}" for name in rows if name != RECORD)


def test_an_error_that_misses_a_compiler_names_the_image_that_has_one(site: Path) -> None:
    pack(site)
    for name, sentence in headers.SENTENCES:
        text = (site / name).read_text()
        assert sentence in text
        assert "arrstack launch arr-pytorch-devel" in text
        compile(text, name, "exec")


def test_unpacked_it_is_the_wheel_to_the_byte(site: Path) -> None:
    before = content(site)
    archive = pack(site)
    headers.unpack(site, archive)
    assert content(site) == before
    assert not archive.exists()


def test_the_archive_is_the_same_to_the_byte_for_the_same_wheel(site: Path) -> None:
    first = pack(site)
    packed = first.read_bytes()
    headers.unpack(site, first)
    (site / PACKED[0]).touch()
    assert pack(site).read_bytes() == packed


def test_a_torch_that_says_it_otherwise_is_named(site: Path) -> None:
    name, sentence = headers.SENTENCES[0]
    (site / name).write_text((site / name).read_text().replace(sentence, "there is no ninja"))
    with pytest.raises(SystemExit, match=r"cpp_extension\.py says .* 0 times, not once: correct SENTENCES"):
        pack(site)


def test_the_sentences_name_a_tier_of_the_stack() -> None:
    from arrstack.recipes.config import load

    assert load(RECIPE.parent.parent / "stack.toml").tier("arr-pytorch-devel").parent == "arr-pytorch-base"
