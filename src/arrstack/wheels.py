"""What a person names on the command line, as something on disk: wheels to take (`--wheels`), an image to verify."""

import contextlib
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from arrstack.artifacts.blob import BlobError
from arrstack.artifacts.files import File, Level, Problem
from arrstack.artifacts.layout import OciLayout
from arrstack.errors import ConfigError, RegistryError
from arrstack.machine import skopeo
from arrstack.machine.process import Failed, Processes
from arrstack.recipes.tiers import Wheels
from arrstack.reference import TRANSPORT, NotAName, Reference

WHEELS_HINT = "name a folder that holds the wheels, or images as oci:DIR:TAG or HOST/NAME:TAG"
BLOCK = 1 << 20
"""Bytes of a wheel that are copied at once."""
ENGINES_AND_REGISTRIES = ("docker://", "docker-daemon:", "containers-storage:")


@contextlib.contextmanager
def given_wheels(named: Sequence[str], processes: Processes) -> Iterator[Wheels]:
    """The folder of wheels that --wheels names: a directory as it is, or what published wheel images hold."""
    if len(named) == 1 and Path(named[0]).is_dir():
        yield Wheels(Path(named[0]).absolute())
    else:
        with tempfile.TemporaryDirectory(prefix="arrstack-wheels-") as scratch:
            yield Wheels(gather(list(named), Path(scratch), processes))


@contextlib.contextmanager
def fetched(target: str, published: Callable[[str], str], processes: Processes) -> Iterator[str]:
    """A target of `verify` as something on disk: what it names already, or an image brought into an OCI layout.

    `published` gives the reference of a tier's image, for a name that is neither. Raises RegistryError.
    """
    if not target:  # a variable of a shell that is not set: it is not the folder where one is
        raise ConfigError("no target is named", "name a wheel, a directory, a library, oci:DIR:TAG, docker://REF, or a tier")
    is_image = target.startswith(ENGINES_AND_REGISTRIES)
    if not is_image and (target.startswith("oci:") or Path(target).exists()):
        yield target
        return
    if target.startswith(TRANSPORT):
        try:
            Reference.parse(target)
        except NotAName as error:
            raise ConfigError(str(error), "for example docker://HOST/NAME:TAG") from None
    source = target if is_image else published(target)
    if source.startswith("oci:"):
        yield source
        return
    with tempfile.TemporaryDirectory(prefix="arrstack-") as folder:
        try:
            skopeo.copy(processes, source, f"oci:{folder}:image")
        except Failed as error:
            raise RegistryError(f"{target} could not be fetched: {error.message}") from None
        yield f"oci:{folder}:image"


def gather(references: list[str], folder: Path, processes: Processes) -> Path:
    """Copies the wheels and build records out of published wheel images, or folders, into `folder`.

    A reference is one of containers/image's (`oci:DIR:TAG`, `docker://HOST/NAME:TAG`), or a folder.
    Raises RegistryError where one cannot be fetched, ConfigError where it holds no wheel.
    """
    for reference in references:
        count = copy_folder(Path(reference), folder) if Path(reference).is_dir() else fetch(reference, folder, processes)
        if not count:
            raise ConfigError(f"{reference} holds no wheel")
    return folder


def copy_folder(source: Path, folder: Path) -> int:
    files = [path for path in source.iterdir() if is_wanted(path.name) and path.is_file()]
    for path in files:
        (folder / path.name).write_bytes(path.read_bytes())
    return len(files)


def fetch(reference: str, folder: Path, processes: Processes) -> int:
    """The number of wheels and records in an image's layers: files at the root of a published wheel stage."""
    source = reference if "://" in reference or reference.startswith("oci:") else f"{TRANSPORT}{reference}"
    if source.startswith(TRANSPORT):
        try:
            Reference.parse(source)
        except NotAName:
            raise ConfigError(f"{reference} is neither a folder nor an image", WHEELS_HINT) from None
    with tempfile.TemporaryDirectory(prefix="arrstack-") as scratch:
        try:
            skopeo.copy(processes, source, f"oci:{scratch}:image", ["--dest-oci-accept-uncompressed-layers"])
            return unpack(OciLayout(Path(scratch), "image"), folder)
        except Failed as error:
            raise RegistryError(
                f"{reference} is no folder here, and could not be fetched: {error.message}", WHEELS_HINT
            ) from None
        except BlobError as error:
            raise RegistryError(f"{reference} cannot be read: {error}") from None


def unpack(image: OciLayout, folder: Path) -> int:
    """The number of wheels and records in an image, each copied into the folder. Raises BlobError for what cannot be read."""
    count = 0
    for item in image.items():
        if isinstance(item, Problem) and item.level is Level.ERROR:
            raise BlobError(f"{item.path}: {item.message}")
        if isinstance(item, File) and is_wanted(item.path):
            blob = item.open()
            with (folder / PurePosixPath(item.path).name).open("wb") as file:
                for start in range(0, blob.size, BLOCK):
                    file.write(blob.read(start, BLOCK))
            count += 1
    return count


def is_wanted(name: str) -> bool:
    return name.endswith((".whl", ".json"))
