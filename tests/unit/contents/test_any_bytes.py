"""Whatever stands in an image's lists, it is read, told and shown, and raises nothing."""

import tempfile
from dataclasses import replace
from datetime import date
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from arrstack.contents.advisories.assessment import assess
from arrstack.contents.advisories.changelog import changelog_in, cves_between
from arrstack.contents.advisories.security_archive import security_archives
from arrstack.contents.collect import take_inventory
from arrstack.contents.form import inventory_form
from arrstack.contents.packages import debian_licences, debian_packages, distribution, python_package, recorded_paths
from arrstack.contents.report.page import Beside, render
from arrstack.contents.sbom import bill_of_materials
from tests.unit.artifacts.archives import Entries
from tests.unit.contents.images import METADATA, RECORD, SITE, STATUS, image, system

PATHS = [
    "var/lib/dpkg/status",
    "var/lib/dpkg/info/libc6:amd64.list",
    "usr/share/doc/libc6/copyright",
    f"{SITE}/torch-2.6.0.dist-info/METADATA",
    f"{SITE}/torch-2.6.0.dist-info/RECORD",
    "etc/os-release",
    "etc/apt/sources.list",
    "etc/apt/sources.list.d/x.sources",
]
SOUND = [
    STATUS.encode(),
    b"/x\n",
    b"Format: 1\nLicense: MIT\n",
    METADATA.encode(),
    RECORD.encode(),
    b"ID=debian\n",
    b"deb http://a b c\n",
    b"Types: deb\n",
]
EDIT = st.tuples(st.integers(0, 7), st.integers(0, 400), st.binary(max_size=12))


def edited(edits: list[tuple[int, int, bytes]]) -> Entries:
    texts = [bytearray(data) for data in SOUND]
    for number, at, data in edits:
        texts[number][at : at + len(data)] = data
    layer = Entries()
    for path, text in zip(PATHS, texts, strict=True):
        layer.file(path, bytes(text))
    return layer


@settings(max_examples=60)
@given(st.lists(EDIT, max_size=6), st.text(max_size=60))
def test_no_edit_of_a_list_makes_a_bill_or_a_page_fail(edits: list[tuple[int, int, bytes]], name: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        found = take_inventory(image(Path(folder) / "i", [system(), edited(edits)]))
    told = replace(found, created=name, labels=found.labels | {"x": name})
    bill_of_materials(told, "image")
    page = render(told, name, Beside(assessment=assess([], [], [], 1, [], date(2026, 1, 1))))
    assert page.count("<script") == 2
    inventory_form(name, told)
    security_archives(told)


@given(st.text(), st.text(max_size=30))
def test_no_text_makes_a_reader_fail(text: str, other: str) -> None:
    debian_packages(text)
    debian_licences(text)
    python_package("a/b.dist-info/METADATA", text)
    list(recorded_paths("a/b.dist-info/RECORD", text))
    distribution(text)
    cves_between(text, other, other)


@given(st.binary(max_size=400))
def test_no_bytes_make_a_package_fail(data: bytes) -> None:
    changelog_in(data, "x")
    changelog_in(b"!<arch>\n" + data, "x")
