"""Signatures of documents as cosign makes them: ECDSA on the curve P-256 with SHA-256, in a DSSE envelope.

Sources: DSSE 1.0 (secure-systems-lab/dsse, protocol.md and envelope.md); cosign's specification of attestations.
"""

import base64
import binascii
import hashlib
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from arrstack.errors import ConfigError

ENVELOPE_TYPE = "application/vnd.dsse.envelope.v1+json"
LARGEST_KEY = 64 << 10
_MAKE = "make one: openssl ecparam -name prime256v1 -genkey -noout -out KEY.pem; openssl ec -in KEY.pem -pubout -out KEY.pub"
_COSIGN = ("ENCRYPTED SIGSTORE PRIVATE KEY", "ENCRYPTED COSIGN PRIVATE KEY")


class Signature(msgspec.Struct):
    sig: str
    keyid: str = ""


class Envelope(msgspec.Struct):
    """A signed document; `payload` is base64."""

    payload: str
    payloadType: str  # noqa: N815
    signatures: list[Signature]


@dataclass(frozen=True)
class PublicKey:
    """Whose signature counts. `name` is the SHA-256 of the key itself (SubjectPublicKeyInfo), shortened for a person."""

    key: ec.EllipticCurvePublicKey = field(repr=False)

    @property
    def name(self) -> str:
        encoded = self.key.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
        return hashlib.sha256(encoded).hexdigest()[:16]

    def opened(self, envelope: bytes, payload_type: str) -> bytes:
        """The document in an envelope. Raises ValueError where it is none, or not signed by this key."""
        try:
            held = msgspec.json.decode(envelope, type=Envelope)
            payload = base64.b64decode(held.payload, validate=True)
        except (msgspec.DecodeError, binascii.Error, RecursionError):
            raise ValueError("it is not a DSSE envelope") from None
        if held.payloadType != payload_type:
            raise ValueError(f"it holds {held.payloadType[:100]!r}")
        for signature in held.signatures:
            try:
                signed = base64.b64decode(signature.sig, validate=True)
                self.key.verify(signed, authenticated(payload_type, payload), ec.ECDSA(hashes.SHA256()))
            except (binascii.Error, InvalidSignature):
                continue
            return payload
        raise ValueError(f"it is not signed by the key {self.name}")


@dataclass(frozen=True)
class Signer:
    """A private key."""

    key: ec.EllipticCurvePrivateKey = field(repr=False)

    @property
    def public(self) -> PublicKey:
        return PublicKey(self.key.public_key())

    def envelope(self, payload: bytes, payload_type: str) -> bytes:
        """The document with its signature."""
        signed = self.key.sign(authenticated(payload_type, payload), ec.ECDSA(hashes.SHA256()))
        made = Envelope(base64.b64encode(payload).decode(), payload_type, [Signature(base64.b64encode(signed).decode())])
        return msgspec.json.encode(made)


def authenticated(payload_type: str, payload: bytes) -> bytes:
    """What is signed (DSSE, "Pre-Authentication Encoding"): no other type and document have the same bytes."""
    kind = payload_type.encode()
    return b"DSSEv1 %d %s %d %s" % (len(kind), kind, len(payload), payload)


def read_signer(path: Path, password: str = "") -> Signer:
    """A private key from a PEM file, with the password that protects it, if any. Raises ConfigError."""
    data = _read(path)
    if any(name.encode() in data for name in _COSIGN):
        raise ConfigError(f"{path} is in cosign's own form, which is not read", f"{_MAKE}; cosign takes it by import-key-pair")
    try:
        key = serialization.load_pem_private_key(data, password.encode() if password else None)
    except TypeError:
        raise ConfigError(f"{path} is protected by a password", "give it in ARRSTACK_KEY_PASSWORD, and only then") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{path} holds no private key that can be read, or the password is another", _MAKE) from None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError(f"{path}: the key is not ECDSA on P-256, which cosign signs by", _MAKE)
    return Signer(key)


def read_public(path: Path) -> PublicKey:
    """A public key from a PEM file. Raises ConfigError."""
    try:
        key = serialization.load_pem_public_key(_read(path))
    except (ValueError, UnsupportedAlgorithm):
        raise ConfigError(f"{path} holds no public key that can be read", _MAKE) from None
    if not isinstance(key, ec.EllipticCurvePublicKey) or not isinstance(key.curve, ec.SECP256R1):
        raise ConfigError(f"{path}: the key is not ECDSA on P-256, which cosign signs by", _MAKE)
    return PublicKey(key)


def _read(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(LARGEST_KEY)
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}", _MAKE) from None
