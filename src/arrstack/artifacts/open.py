"""From what a person names to the files in it."""

import stat
from collections.abc import Callable
from pathlib import Path

from arrstack.artifacts.blob import BlobError, FileBlob
from arrstack.artifacts.deflate import NoIndex, StreamIndex
from arrstack.artifacts.disk import Directory, SingleFile
from arrstack.artifacts.files import Source
from arrstack.artifacts.layout import OciLayout, is_layout
from arrstack.artifacts.wheel import WheelFile
from arrstack.errors import ConfigError


def open_target(target: str | Path, index: Callable[[], StreamIndex] = NoIndex) -> Source:
    """The source that a path names: a wheel, a directory, a library, an OCI layout. Raises ConfigError where there is none.

    `index` makes what looks at each member of a wheel while it is inflated.

        for item in open_target("dist/torch-2.6.0-cp311-cp311-linux_x86_64.whl").items(): ...
    """
    text = str(target)
    if text.startswith("oci:"):
        return OciLayout.parse(text.removeprefix("oci:"))
    path = Path(target)
    try:
        mode = path.stat().st_mode
    except (OSError, ValueError) as error:
        message = f"{text}: {_reason(error)}"
        raise ConfigError(message, "name a wheel, a directory, a library, oci:DIR:TAG or an image") from error
    if stat.S_ISDIR(mode):
        return OciLayout(path, "") if is_layout(path) else Directory(path)
    if not stat.S_ISREG(mode):
        raise ConfigError(f"{text}: neither a file nor a directory", "name a wheel, a directory, a library or an image")
    if _is_zip(path):
        return WheelFile(text, lambda: FileBlob(path), index)
    return SingleFile(path)


def _reason(error: OSError | ValueError) -> str:
    return (error.strerror or str(error)) if isinstance(error, OSError) else str(error)


def _is_zip(path: Path) -> bool:
    try:
        return path.suffix in (".whl", ".zip") or FileBlob(path).read(0, 4) == b"PK\3\4"
    except BlobError:
        return False
