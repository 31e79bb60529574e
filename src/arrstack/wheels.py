"""`--wheels REF`: the wheels that published images hold, in one folder."""

import json
import tarfile
import tempfile
from pathlib import Path
from typing import IO

from arrstack.engines.command import plain_http
from arrstack.errors import ConfigError, RegistryError
from arrstack.process import Failed, Processes


def gather(references: list[str], folder: Path, processes: Processes) -> Path:
    """Copies the wheels and build records out of published wheel images, or folders, into `folder`.

    A reference is one of containers/image's (`oci:DIR:TAG`, `docker://HOST/NAME:TAG`), or a folder.
    Raises RegistryError where one cannot be fetched, ConfigError where it holds no wheel.
    """
    for reference in references:
        found = copy_folder(Path(reference), folder) if Path(reference).is_dir() else fetch(reference, folder, processes)
        if not found:
            raise ConfigError(f"{reference} holds no wheel")
    return folder


def copy_folder(source: Path, folder: Path) -> int:
    files = [path for path in source.iterdir() if is_wanted(path.name) and path.is_file()]
    for path in files:
        (folder / path.name).write_bytes(path.read_bytes())
    return len(files)


def fetch(reference: str, folder: Path, processes: Processes) -> int:
    """The number of wheels and records in an image's layers: files at the root of a published wheel stage."""
    source = reference if "://" in reference or reference.startswith("oci:") else f"docker://{reference}"
    with tempfile.TemporaryDirectory(prefix="arrstack-") as scratch:
        try:
            processes.run(["skopeo", "copy", "--quiet", *plain_http("--src-tls-verify", source), source, f"dir:{scratch}"])
        except Failed as error:
            raise RegistryError(f"{reference} could not be fetched: {error.message}") from None
        manifest = json.loads(Path(scratch, "manifest.json").read_text())
        return sum(unpack(Path(scratch, layer["digest"].partition(":")[2]), folder) for layer in manifest["layers"])


def unpack(layer: Path, folder: Path) -> int:
    count = 0
    with tarfile.open(layer) as archive:
        for member in archive:
            name = Path(member.name).name
            content: IO[bytes] | None = archive.extractfile(member) if member.isfile() and is_wanted(name) else None
            if content:
                with (folder / name).open("wb") as file:
                    while chunk := content.read(1 << 20):
                        file.write(chunk)
                count += 1
    return count


def is_wanted(name: str) -> bool:
    return name.endswith((".whl", ".json"))
