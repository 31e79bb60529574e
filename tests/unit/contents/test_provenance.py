"""Whose an image is: the statement, its signature, and a registry that takes only what a key signed."""

import base64
import json
import shutil
import subprocess
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from arrstack.contents.provenance import PAYLOAD_TYPE, history, require_subject, statement
from arrstack.contents.signed_registry import SignedRegistry, origin_of, sign
from arrstack.contents.signing import ENVELOPE_TYPE, Signer, authenticated, read_public, read_signer
from arrstack.errors import ConfigError
from arrstack.model import Image, State
from arrstack.registry import Attachment, Send
from tests.fakes.registry import MemoryRegistry
from tests.unit.contents.images import LABELS

IMAGE = Image(
    "tier", f"sha256:{'a' * 64}", f"sha256:{'b' * 64}", "content", {**LABELS, "io.arrstack.key": "k1"}, "2025-01-01T00:00:00Z", 1
)
OTHER = replace(IMAGE, digest=f"sha256:{'c' * 64}")


def pem(key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey, password: bytes | None = None) -> bytes:
    protection = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, protection)


@pytest.fixture
def signer() -> Signer:
    return Signer(ec.generate_private_key(ec.SECP256R1()))


@pytest.fixture
def stranger() -> Signer:
    return Signer(ec.generate_private_key(ec.SECP256R1()))


# -- the statement


def test_a_statement_names_the_image_its_key_and_the_pinned_sources() -> None:
    told = json.loads(statement("tier", IMAGE, "cpu"))
    assert told["_type"] == "https://in-toto.io/Statement/v1"
    assert told["predicateType"] == "https://slsa.dev/provenance/v1"
    assert told["subject"] == [{"name": "tier", "digest": {"sha256": "a" * 64}}]
    definition = told["predicate"]["buildDefinition"]
    assert definition["internalParameters"]["key"] == "k1"
    assert definition["resolvedDependencies"] == [
        {
            "name": "torch 2.6.0",
            "uri": "git+https://example.org/pytorch",
            "digest": {"gitCommit": "1eba9b3aa3c43f86f4a2c807ac8e12c4a7767340"},
        }
    ]


def test_a_person_is_told_the_same_in_lines() -> None:
    assert history(IMAGE) == [
        "made 2025-01-01T00:00:00Z, key k1",
        "compiled torch 2.6.0 of git https://example.org/pytorch v2.6.0, 1eba9b3aa3c43f86f4a2c807ac8e12c4a7767340",
    ]


def test_the_same_image_makes_the_same_statement() -> None:
    assert statement("tier", IMAGE, "cpu") == statement("tier", replace(IMAGE), "cpu")


@pytest.mark.parametrize("payload", [b"", b"[]", b"{}", b"[" * 100_000, b'{"_type": 1}', statement("tier", OTHER, "cpu")])
def test_a_statement_of_another_image_or_none_does_not_count(payload: bytes) -> None:
    with pytest.raises(ValueError, match="it "):
        require_subject(payload, IMAGE)


# -- the signature


def test_what_is_signed_is_opened_by_the_public_key_alone(signer: Signer, stranger: Signer) -> None:
    envelope = signer.envelope(b"text", PAYLOAD_TYPE)
    assert signer.public.opened(envelope, PAYLOAD_TYPE) == b"text"
    with pytest.raises(ValueError, match="not signed by the key"):
        stranger.public.opened(envelope, PAYLOAD_TYPE)


@pytest.mark.parametrize("part", ["payload", "payloadType", "sig"])
def test_no_part_of_an_envelope_may_be_another(signer: Signer, part: str) -> None:
    envelope = json.loads(signer.envelope(b"text", PAYLOAD_TYPE))
    if part == "sig":
        envelope["signatures"][0]["sig"] = base64.b64encode(b"0" * 70).decode()
    else:
        envelope[part] = {"payload": base64.b64encode(b"other").decode(), "payloadType": "text/plain"}[part]
    with pytest.raises(ValueError, match="it "):
        signer.public.opened(json.dumps(envelope).encode(), PAYLOAD_TYPE)


@pytest.mark.parametrize(
    "data", [b"", b"{}", b"[" * 100_000, b'{"payload": "%%", "payloadType": "x", "signatures": []}', b"\xff"]
)
def test_what_is_no_envelope_is_said_to_be_none(signer: Signer, data: bytes) -> None:
    with pytest.raises(ValueError, match="not a DSSE envelope"):
        signer.public.opened(data, PAYLOAD_TYPE)


def test_the_bytes_that_are_signed_are_those_of_the_specification() -> None:
    # DSSE 1.0, protocol.md, the example of "Pre-Authentication Encoding".
    assert (
        authenticated("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )


@pytest.mark.skipif(not shutil.which("openssl"), reason="there is no openssl")
def test_openssl_verifies_the_signature(signer: Signer, tmp_path: Path) -> None:
    envelope = json.loads(signer.envelope(b"text", PAYLOAD_TYPE))
    (tmp_path / "sig").write_bytes(base64.b64decode(envelope["signatures"][0]["sig"]))
    (tmp_path / "signed").write_bytes(authenticated(PAYLOAD_TYPE, b"text"))
    encoded = signer.public.key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    (tmp_path / "key.pub").write_bytes(encoded)
    argv = ["openssl", "dgst", "-sha256", "-verify", "key.pub", "-signature", "sig", "signed"]
    assert subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True).stdout == "Verified OK\n"
    assert read_public(tmp_path / "key.pub").name == signer.public.name


# -- keys


def test_a_key_with_a_password_wants_exactly_that(signer: Signer, tmp_path: Path) -> None:
    (tmp_path / "plain.pem").write_bytes(pem(signer.key))
    (tmp_path / "closed.pem").write_bytes(pem(signer.key, b"secret"))
    assert read_signer(tmp_path / "closed.pem", "secret").public.name == signer.public.name
    for name, password in (("closed.pem", ""), ("closed.pem", "wrong"), ("plain.pem", "needless")):
        with pytest.raises(ConfigError):
            read_signer(tmp_path / name, password)


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "no private key"),
        (b"\0" * 1000, "no private key"),
        (
            b"-----BEGIN ENCRYPTED SIGSTORE PRIVATE KEY-----\nAA==\n-----END ENCRYPTED SIGSTORE PRIVATE KEY-----\n",
            "cosign's own form",
        ),
        (pem(ec.generate_private_key(ec.SECP384R1())), "P-256"),
        (pem(rsa.generate_private_key(65537, 2048)), "P-256"),
    ],
)
def test_a_file_that_is_no_such_key_is_refused(tmp_path: Path, data: bytes, said: str) -> None:
    (tmp_path / "key").write_bytes(data)
    with pytest.raises(ConfigError, match=said):
        read_signer(tmp_path / "key")
    with pytest.raises(ConfigError):
        read_public(tmp_path / "key")
    with pytest.raises(ConfigError, match="cannot be read"):
        read_signer(tmp_path / "missing")


def test_no_key_is_shown(signer: Signer) -> None:
    assert str(signer) == "Signer()"


# -- the registry


@dataclass
class Publishing(MemoryRegistry):
    """A registry in memory that takes a push: of IMAGE."""

    def publish(self, repository: str, tag: str, send: Send) -> Image:
        return self.put(repository, tag, IMAGE)


def no_push(destination: str, compress: bool) -> str:
    return ""


def test_what_is_published_is_signed_and_present(signer: Signer) -> None:
    inner = Publishing()
    registry = SignedRegistry(inner, lambda: "cpu", signer.public, signer)
    registry.publish("tier", "latest", no_push)
    assert registry.lookup("tier", "latest").state is State.PRESENT
    (attached,) = inner.attached("tier", IMAGE.digest, ENVELOPE_TYPE)
    assert (attached.suffix, dict(attached.annotations)["predicateType"]) == ("att", "https://slsa.dev/provenance/v1")


def test_what_nobody_or_somebody_else_signed_is_unknown_and_never_absent(signer: Signer, stranger: Signer) -> None:
    inner = Publishing()
    inner.publish("tier", "latest", no_push)
    registry = SignedRegistry(inner, lambda: "cpu", signer.public)
    assert (registry.lookup("tier", "latest").state, registry.lookup("tier", "none").state) == (State.UNKNOWN, State.ABSENT)
    assert "is not signed" in registry.lookup("tier", "latest").reason
    sign(inner, "tier", IMAGE, "cpu", stranger)
    answer = registry.lookup("tier", "latest")
    assert answer.state is State.UNKNOWN
    assert signer.public.name in answer.reason
    assert "`arrstack provenance tier --sign` with --signing-key FILE" in answer.remedy


def test_a_signature_of_another_image_does_not_count(signer: Signer) -> None:
    inner = Publishing()
    inner.publish("tier", "latest", no_push)
    envelope = signer.envelope(statement("tier", OTHER, "cpu"), PAYLOAD_TYPE)
    inner.attach("tier", IMAGE.digest, Attachment(ENVELOPE_TYPE, ENVELOPE_TYPE, envelope))
    assert origin_of(inner, "tier", IMAGE, signer.public).reason == "its provenance does not count: it speaks of another image"


def test_a_key_that_only_trusts_signs_nothing(signer: Signer) -> None:
    inner = Publishing()
    SignedRegistry(inner, lambda: "cpu", signer.public).publish("tier", "latest", no_push)
    assert inner.attached("tier", IMAGE.digest, ENVELOPE_TYPE) == []
