"""Archives of sources: what pip downloads where there is no wheel (packaging.python.org, "Source distribution format")."""

import io
from typing import IO, cast

from arrstack.artifacts.blob import BlobError
from arrstack.artifacts.blob_reader import BlobReader
from arrstack.artifacts.files import File
from arrstack.artifacts.layers import Layer, entries
from arrstack.artifacts.spool import STREAM_ERRORS

LOOKED_AT = 2000
_SUFFIXES = (".tar", ".tar.gz", ".tgz", ".tar.zst", ".tar.bz2", ".tar.xz")
_UNREAD = (".tar.bz2", ".tar.xz")
_MARKS = ("PKG-INFO", "pyproject.toml", "setup.py")


def is_tar(path: str, head: bytes) -> bool:
    """Whether a file is called, or begins like, an archive made by tar."""
    return path.endswith(_SUFFIXES) or head[257:262] == b"ustar"


def is_sdist(file: File) -> bool:
    """Whether an archive holds a Python project: its first LOOKED_AT entries tell. One that this does not inflate counts as one."""
    if file.path.endswith(_UNREAD):
        return True
    try:
        layer = Layer(lambda: cast(IO[bytes], io.BufferedReader(BlobReader(file.open()))))
        for number, entry in enumerate(entries(layer)):
            parts = entry.path.split("/")
            if len(parts) == 2 and parts[1] in _MARKS:
                return True
            if number >= LOOKED_AT:
                break
    except (BlobError, *STREAM_ERRORS):
        return False
    return False
