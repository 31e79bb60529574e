"""Pure: how an image came to be, as a statement that can be signed.

Sources: in-toto attestation framework 1.0, "Statement"; SLSA 1.0, "Provenance".
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from arrstack import __version__
from arrstack.model import LABEL_CREATED, LABEL_KEY, LABEL_WHEELS, Image, compiled_in, short

STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
PREDICATE_TYPE = "https://slsa.dev/provenance/v1"
PAYLOAD_TYPE = "application/vnd.in-toto+json"
BUILD_TYPE = "urn:arrstack:launch:v1"
BUILDER = "urn:arrstack:builder"


class Subject(msgspec.Struct):
    name: str
    digest: dict[str, str]


class Statement(msgspec.Struct):
    """What of a statement is held against an image."""

    kind: str = msgspec.field(name="_type")
    predicateType: str  # noqa: N815
    subject: list[Subject]


def statement(repository: str, image: Image, profile: str) -> bytes:
    """The statement of an image: all of it comes from the image and its labels, so it is the same whoever makes it.

    statement("arr-trainer", registry.lookup("arr-trainer", "cpu").image, "cpu")
    """
    algorithm, _, value = image.digest.partition(":")
    inputs = image.inputs
    document = {
        "_type": STATEMENT_TYPE,
        "subject": [{"name": repository, "digest": {algorithm: value}}],
        "predicateType": PREDICATE_TYPE,
        "predicate": {
            "buildDefinition": {
                "buildType": BUILD_TYPE,
                "externalParameters": {"repository": repository, "profile": profile},
                "internalParameters": {
                    "key": image.labels.get(LABEL_KEY, ""),
                    "inputs": inputs.digest if inputs else "",
                    "note": image.labels.get(LABEL_WHEELS, ""),
                },
                "resolvedDependencies": _dependencies(image.labels),
            },
            "runDetails": {
                "builder": {"id": BUILDER, "version": {"arrstack": __version__}},
                "metadata": {"finishedOn": image.labels.get(LABEL_CREATED) or image.created},
            },
        },
    }
    return msgspec.json.encode(document, order="deterministic")


def history(image: Image) -> list[str]:
    """The same for a person: when it was made of which inputs, and what was compiled for it, each by its pin.

    history(image)[0] == "made 2026-11-27T10:22:20+00:00, key 74d79ec8845f, inputs 14481d0103cf"
    """
    key, inputs = image.labels.get(LABEL_KEY, ""), image.inputs
    made = [
        f"made {image.labels.get(LABEL_CREATED) or image.created}",
        *([f"key {short(key)}"] if key else []),
        *([f"inputs {short(inputs.digest)}"] if inputs else []),
    ]
    sources = [
        f"compiled {each.distribution} {each.version} of {each.source}{f', {each.pin}' if each.pin else ''}"
        for each in compiled_in(image.labels)
        if each.source
    ]
    note = image.labels.get(LABEL_WHEELS)
    return [", ".join(made), *sources, *([note] if note else [])]


def _dependencies(labels: Mapping[str, str]) -> list[dict[str, Any]]:
    """The sources that were compiled, each by its pin."""
    found = []
    for each in (told for told in compiled_in(labels) if told.source):
        kind, _, rest = each.source.partition(" ")
        uri = f"git+{rest.split(' ')[0]}" if kind == "git" and rest else f"urn:arrstack:source:{each.source.replace(' ', ':')}"
        digest = {"gitCommit": each.pin} if kind == "git" else {"sha256": each.pin} if len(each.pin) == 64 else {}
        found.append({"name": f"{each.distribution} {each.version}", "uri": uri, "digest": digest})
    return found


def require_subject(payload: bytes, image: Image) -> None:
    """Raises ValueError where a statement is none of SLSA's, or speaks of another image."""
    try:
        held = msgspec.json.decode(payload, type=Statement)
    except (msgspec.DecodeError, RecursionError):
        raise ValueError("it is not an in-toto statement") from None
    if (held.kind, held.predicateType) != (STATEMENT_TYPE, PREDICATE_TYPE):
        raise ValueError("it is not a statement of provenance")
    algorithm, _, value = image.digest.partition(":")
    if all(subject.digest.get(algorithm) != value for subject in held.subject):
        raise ValueError("it speaks of another image")
