"""The keys of one call: whose signature counts, and what signs."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from arrstack.errors import ConfigError
from arrstack.registry import Registry

if TYPE_CHECKING:
    from arrstack.cli.session import Options
    from arrstack.contents.signing import PublicKey, Signer

PASSWORD = "ARRSTACK_KEY_PASSWORD"


def signer_of(options: "Options", environment: Mapping[str, str]) -> "Signer | None":
    """The key of --signing-key. Raises ConfigError."""
    from arrstack.contents.signing import read_signer

    return read_signer(options.signing_key, environment.get(PASSWORD, "")) if options.signing_key else None


def trusted_of(options: "Options", signer: "Signer | None") -> "PublicKey":
    """The key whose signature counts: --trusted-key, else the public half of the one that signs. Raises ConfigError."""
    from arrstack.contents.signing import read_public

    if options.trusted_key:
        return read_public(options.trusted_key)
    if signer is None:
        raise ConfigError("no key is named", "give --trusted-key PUBLIC.pem or --signing-key PRIVATE.pem")
    return signer.public


def signed(inner: Registry, options: "Options", environment: Mapping[str, str], profile: Callable[[], str]) -> Registry:
    """The registry, of which only counts what the key signed. Raises ConfigError."""
    from arrstack.contents.signed_registry import SignedRegistry

    signer = signer_of(options, environment)
    return SignedRegistry(inner, profile, trusted_of(options, signer), signer)
