"""The JSON of registries: what is of the form is read, anything else is a ValueError, whatever it is."""

import json
from collections.abc import Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arrstack.model import content_id
from arrstack.registry.challenge import challenges, next_link
from arrstack.registry.documents import (
    Config,
    Descriptor,
    Document,
    chosen,
    decoded,
    described,
    digest_of,
    encoded,
    image_of,
    manifest_of,
)

SHA256, SHA512 = "sha256:" + "0" * 64, "sha512:" + "0" * 128
KEYS = [
    "digest",
    "size",
    "platform",
    "os",
    "architecture",
    "annotations",
    "config",
    "layers",
    "manifests",
    "rootfs",
    "diff_ids",
    "Labels",
]
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([SHA256, "linux", "amd64", ""])
    | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=6),
    max_leaves=25,
)


def quietly(action: Callable[[], object]) -> None:
    try:
        action()
    except ValueError as error:
        assert "\n" not in str(error)


@settings(deadline=None)
@given(VALUES)
def test_json_of_any_shape_is_read_or_is_a_value_error(value: Any) -> None:
    data = json.dumps(value).encode()
    for kind in (Document, Config, Descriptor, dict[str, str], list[Descriptor]):
        quietly(lambda kind=kind: decoded(data, kind))  # type: ignore[misc]
    quietly(lambda: image_of("r", SHA256, manifest_of(decoded(data, Document)), data))
    quietly(lambda: chosen(decoded(data, Document).manifests or []))


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_bytes_of_any_kind_are_a_value_error(data: bytes) -> None:
    quietly(lambda: decoded(data, Document))


@settings(deadline=None)
@given(st.text(max_size=200))
def test_a_header_of_any_kind_is_read(text: str) -> None:
    assert isinstance(next_link(text), str)
    for each in challenges(text):
        assert each.scheme == each.scheme.lower()


@pytest.mark.parametrize("digest", [SHA256, SHA512])
def test_a_digest_is_its_algorithm_and_its_digits(digest: str) -> None:
    assert encoded(digest) == digest.partition(":")[2]
    assert len(digest_of(b"x", digest)) == len(digest)


@pytest.mark.parametrize(
    "digest", ["", "0" * 64, SHA256[:-1], SHA256 + "0", SHA256.upper(), "sha1:" + "0" * 40, SHA512.replace("512", "256"), 5, None]
)
def test_what_is_no_digest_is_refused(digest: object) -> None:
    with pytest.raises(ValueError, match="is not a digest"):
        encoded(digest)


def test_bytes_are_compared_with_digest_and_size() -> None:
    right = Descriptor(digest_of(b"data"), 4)
    assert described(right, b"data") == b"data"
    for wrong in (Descriptor(digest_of(b"data"), 5), Descriptor(digest_of(b"other"), 4)):
        with pytest.raises(ValueError, match="does not have that digest"):
            described(wrong, b"data")


def config(**fields: Any) -> dict[str, Any]:
    return {
        "os": "linux",
        "architecture": "amd64",
        "rootfs": {"type": "layers", "diff_ids": [SHA256]},
        "config": {"Env": ["A=1"]},
    } | fields


def read(held: dict[str, Any]) -> Any:
    data = json.dumps(held).encode()
    manifest = manifest_of(Document(Descriptor(digest_of(data), len(data)), [Descriptor(SHA256, 7)]))
    return image_of("tier", SHA512, manifest, data)


@pytest.mark.parametrize(
    "fields",
    [
        {},
        {"variant": "v1"},
        {"config": None},
        {"config": {"Env": [], "Cmd": ["a"], "Entrypoint": ["b"], "User": "0", "WorkingDir": "/x"}},
        {"config": {"ExposedPorts": {"80/tcp": {}}, "Volumes": {"/data": {}}}},
        {"history": [{"created_by": "x"}], "created": "2026-01-01T00:00:00Z"},
    ],
)
def test_an_image_s_content_id_is_that_of_its_config_as_it_stands(fields: dict[str, Any]) -> None:
    """An engine shows the same config as plain JSON, and its id must be the same."""
    assert read(config(**fields)).content_id == content_id(config(**fields))


def test_an_image_is_read() -> None:
    found = read(config(config={"Labels": {"a": "b"}}, created="2026"))
    assert (found.repository, found.digest, found.size, found.labels, found.created) == ("tier", SHA512, 7, {"a": "b"}, "2026")


def test_as_many_layers_as_diff_ids_make_an_image() -> None:
    for diff_ids in ([], [SHA256, SHA256]):
        with pytest.raises(ValueError, match="1 layers, its config"):
            read(config(rootfs={"diff_ids": diff_ids}))


def test_a_manifest_has_a_config_and_layers() -> None:
    config, layers = Descriptor(SHA256, 1), [Descriptor(SHA256, 1)]
    assert manifest_of(Document(config, layers)).layers == layers
    for document in (Document(config), Document(layers=layers), Document()):
        with pytest.raises(ValueError, match="not an image manifest"):
            manifest_of(document)


def test_what_is_nested_too_deeply_is_said() -> None:
    with pytest.raises(ValueError, match="nested too deeply"):
        decoded(b'{"x":' * 100_000, Document)


def entry(**fields: Any) -> Descriptor:
    return msgspec.convert({"digest": SHA256, "size": 1, **fields}, Descriptor)


def test_of_two_images_for_this_platform_the_first_is_taken() -> None:
    platform = {"os": "linux", "architecture": "amd64"}
    first, second = entry(platform=platform, size=1), entry(platform=platform, size=2)
    assert chosen([first, second]) is first
    with pytest.raises(ValueError, match="no linux/amd64 image"):
        chosen([entry(), entry()])
    with pytest.raises(ValueError, match="no linux/amd64 image"):
        chosen([])
