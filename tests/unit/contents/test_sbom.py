"""The bill of materials that is made of an image."""

import gzip
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from arrstack.contents import attached
from arrstack.contents.collect import take_inventory
from arrstack.contents.inventory import Inventory
from arrstack.contents.licences import spdx
from arrstack.contents.sbom import bill_of_materials, check
from arrstack.errors import VerificationError
from arrstack.model import Image
from tests.conftest import ROOT
from tests.fakes.registry import MemoryRegistry
from tests.unit.artifacts.archives import Entries
from tests.unit.contents.images import SITE, image, system, torch
from tests.unit.verify.verify_builders import library


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Inventory:
    stray = Entries().file("opt/own/libstray.so", library(90)).file(f"{SITE}/torch/lib/libtorch.so", library(89, 90))
    return take_inventory(image(tmp_path_factory.mktemp("image"), [system(), torch(), stray]))


@pytest.fixture(scope="module")
def document(found: Inventory) -> dict[str, Any]:
    return dict(json.loads(bill_of_materials(found, "arr-pytorch-base")))


def component(document: dict[str, Any], name: str) -> dict[str, Any]:
    (one,) = [each for each in document["components"] if each["name"] == name]
    return dict(one)


def test_it_is_cyclonedx_and_fits_the_schema(found: Inventory, document: dict[str, Any]) -> None:
    assert (document["bomFormat"], document["specVersion"]) == ("CycloneDX", "1.6")
    check(bill_of_materials(found, "arr-pytorch-base"))
    assert document["metadata"]["component"]["name"] == "arr-pytorch-base"
    assert document["metadata"]["component"]["version"] == found.digest


def test_every_package_has_the_url_by_which_scanners_know_it(document: dict[str, Any]) -> None:
    purls = {each["name"]: each["purl"].partition("?")[0] for each in document["components"] if "purl" in each}
    assert purls == {
        "libc6": "pkg:deb/debian/libc6@2.41-12%2Bb1",
        "tzdata": "pkg:deb/debian/tzdata@2026a-1",
        "torch": "pkg:pypi/torch@2.6.0",
    }
    assert component(document, "libc6")["purl"].endswith("?arch=amd64&distro=debian-13")


def test_what_was_compiled_here_names_its_source_pin_and_architectures(document: dict[str, Any]) -> None:
    torch = component(document, "torch")
    commit = "1eba9b3aa3c43f86f4a2c807ac8e12c4a7767340"
    assert torch["pedigree"]["commits"] == [{"uid": commit, "url": "https://example.org/pytorch"}]
    assert f"{commit}" in torch["purl"]
    properties = {each["name"]: each["value"] for each in torch["properties"]}
    assert properties["io.arrstack:compiled-for"] == "8.9;9.0"
    assert properties["io.arrstack:compile-key"] == "ab12"
    assert properties["io.arrstack:device-code"] == "sm_89 sm_90"


def test_a_package_of_another_version_was_not_compiled_here(found: Inventory) -> None:
    other = tuple(replace(package, version="2.7.0") if package.name == "torch" else package for package in found.packages)
    assert "pedigree" not in component(json.loads(bill_of_materials(replace(found, packages=other), "x")), "torch")


def test_a_source_package_of_the_distribution_is_the_ancestor(found: Inventory) -> None:
    pin = "24783f3515b228ee476e788608ea0beea80409dbc8e861b6b8035c592d79646e"
    told = [{"distribution": "torch", "version": "2.6.0", "source": "debian pytorch 2.6.0+dfsg-7", "pin": pin}]
    labelled = replace(found, labels={"io.arrstack.compiled": json.dumps(told)})
    (ancestor,) = component(json.loads(bill_of_materials(labelled, "x")), "torch")["pedigree"]["ancestors"]
    assert ancestor["purl"] == "pkg:deb/debian/pytorch@2.6.0%2Bdfsg-7?arch=source"
    assert ancestor["hashes"] == [{"alg": "SHA-256", "content": pin}]


@pytest.mark.parametrize("label", ["", "null", "[[[[", '{"a": 1}', '[{"distribution": 1}]', "[" * 100_000])
def test_a_label_that_is_none_of_ours_says_nothing(found: Inventory, label: str) -> None:
    assert "pedigree" not in bill_of_materials(replace(found, labels={"io.arrstack.compiled": label}), "x")


def test_a_binary_of_no_package_is_told_by_its_bytes(document: dict[str, Any]) -> None:
    stray = component(document, "opt/own/libstray.so")
    assert stray["type"] == "file"
    assert len(stray["hashes"][0]["content"]) == 64


def test_debians_licence_names_become_spdx_identifiers(document: dict[str, Any]) -> None:
    ids = {each["license"]["id"] for each in component(document, "libc6")["licenses"]}
    assert ids == {"GPL-2.0-or-later", "LGPL-2.1-or-later"}
    assert [spdx(name) for name in ("Expat", "GPL-3", "Apache Software License", "public-domain")] == [
        *("MIT", "GPL-3.0-only", "Apache-2.0", "public-domain")
    ]


@pytest.mark.parametrize("licence", ["", " ", "A OR", "(((", "MIT OR Apache-2.0", "\x00\x1b[2J", "x" * 500, "GPL-2+ and curl"])
def test_a_licence_of_any_text_makes_a_bill_that_fits_the_schema(found: Inventory, licence: str) -> None:
    packages = tuple(replace(package, licences=(licence, "Expat")) for package in found.packages)
    check(bill_of_materials(replace(found, packages=packages), "x"))
    check(bill_of_materials(replace(found, packages=tuple(replace(each, licences=(licence,)) for each in packages)), "x"))


def test_the_document_has_the_date_of_the_image_s_label(tmp_path: Path) -> None:
    labels = {"org.opencontainers.image.created": "2026-11-27T04:05:06+00:00"}
    found = take_inventory(image(tmp_path / "i", [system()], labels))
    assert json.loads(bill_of_materials(found, "x"))["metadata"]["timestamp"] == "2026-11-27T04:05:06+00:00"


def test_another_process_makes_the_same_bytes(tmp_path: Path) -> None:
    here = bill_of_materials(take_inventory(image(tmp_path / "image", [system(), torch()])), "x")
    program = (
        "import sys; from arrstack.artifacts.open import open_target; from arrstack.contents.collect import take_inventory;"
        "from arrstack.contents.sbom import bill_of_materials;"
        "sys.stdout.write(bill_of_materials(take_inventory(open_target(sys.argv[1])), 'x'))"
    )
    made = subprocess.run(
        [sys.executable, "-c", program, f"oci:{tmp_path}/image"],
        env=os.environ
        | {"PYTHONHASHSEED": "1" if os.environ.get("PYTHONHASHSEED") != "1" else "2", "PYTHONPATH": str(ROOT / "src")},
        check=True,
        capture_output=True,
        text=True,
    )
    assert made.stdout == here


def test_an_image_that_could_not_be_read_whole_gets_no_bill(tmp_path: Path) -> None:
    found = take_inventory(image(tmp_path / "i", [system(), gzip.compress(torch().tar())[:-40]]))
    assert found.problems
    with pytest.raises(VerificationError, match="would lack what could not be read"):
        attached.make(found, "x")


def test_a_registry_says_whether_it_holds_the_same_bill_another_or_none(found: Inventory) -> None:
    registry, document = MemoryRegistry(), attached.make(found, "tier")
    published = registry.put("tier", "latest", Image("tier", found.digest, "", "c", {}, "2025-01-01T00:00:00Z", 1))
    assert attached.held(registry, "tier", published, document) is attached.Held.NONE
    assert not attached.is_attached(registry, "tier", published)
    attached.attach(registry, "tier", published, document)
    assert attached.held(registry, "tier", published, document) is attached.Held.SAME
    assert attached.is_attached(registry, "tier", published)
    assert attached.held(registry, "tier", published, document.replace("torch", "t0rch")) is attached.Held.OTHER
