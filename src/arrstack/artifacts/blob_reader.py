"""A blob as the file object that the standard library's readers of archives want."""

import io
from typing import Any

from arrstack.artifacts.blob import Blob, BlobError


class BlobReader(io.RawIOBase):
    """Raises BlobError where an archive sends its reader to before its beginning."""

    def __init__(self, blob: Blob) -> None:
        self._blob = blob
        self._at = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._blob.size}[whence]
        if start + offset < 0:
            raise BlobError(f"an offset of {start + offset}")
        self._at = start + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        data = self._blob.read(self._at, len(buffer))
        buffer[: len(data)] = data
        self._at += len(data)
        return len(data)
