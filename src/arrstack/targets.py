"""What a person names on the command line, as something on disk: an image to verify, wheels to take."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from arrstack.engines.command import plain_http
from arrstack.errors import RegistryError
from arrstack.process import Failed, Processes
from arrstack.recipes import Wheels

ENGINES_AND_REGISTRIES = ("docker://", "docker-daemon:", "containers-storage:")


@contextlib.contextmanager
def given_wheels(named: Sequence[str]) -> Iterator[Wheels | None]:
    """The folder of wheels that --wheels names: a directory as it is, or what published wheel images hold."""
    if not named:
        yield None
    elif len(named) == 1 and Path(named[0]).is_dir():
        yield Wheels(Path(named[0]).absolute())
    else:
        from arrstack.wheels import gather

        with tempfile.TemporaryDirectory(prefix="arrstack-wheels-") as scratch:
            yield Wheels(gather(list(named), Path(scratch), Processes()))


@contextlib.contextmanager
def fetched(target: str, published: Callable[[str], str]) -> Iterator[str]:
    """A target of `verify` as something on disk: what it names already, or an image brought into an OCI layout.

    `published` gives the reference of a tier's image, for a name that is neither. Raises RegistryError.
    """
    is_image = target.startswith(ENGINES_AND_REGISTRIES)
    if not is_image and (target.startswith("oci:") or Path(target).exists()):
        yield target
        return
    source = target if is_image else published(target)
    if source.startswith("oci:"):
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="arrstack-") as folder:
        try:
            Processes().run(["skopeo", "copy", "--quiet", *plain_http("--src-tls-verify", source), source, f"oci:{folder}:image"])
        except Failed as error:
            raise RegistryError(f"{target} could not be fetched: {error.message}") from None
        yield f"oci:{folder}:image"
