"""Files that are kept by a digest beside ccache's own.

store = kept.Store("/ccache")
store.put(key, {"a.ptx": data})
store.get(key)     # the same, or None
"""

import base64
import hashlib
import json
import os
import zlib
from contextlib import suppress
from pathlib import Path

BASE32HEX = str.maketrans("ABCDEFGHIJKLMNOPQRSTUVWXYZ234567", "0123456789abcdefghijklmnopqrstuv")
"""From the alphabet of base 32 to the one in which ccache names its files."""


class Store:
    """Files by a digest, beside ccache's own in its folder: they count for its limit, are removed as they age, and move with
    it. A file ends with P, begins with a digest of the rest, and is read only where that is right."""

    def __init__(self, folder: str):
        self.folder = Path(folder)

    def path(self, key: str) -> Path:
        name = base64.b32encode(bytes.fromhex(key[2:42])).decode().translate(BASE32HEX)
        return self.folder / key[0] / key[1] / f"{name}P"

    def get(self, key: str) -> "dict[str, bytes] | None":
        path = self.path(key)
        try:
            held = path.read_bytes()
        except OSError:
            return None
        if hashlib.sha256(held[32:]).digest() != held[:32]:
            path.unlink(missing_ok=True)
            return None
        with suppress(OSError):  # ccache may have removed it by now
            os.utime(path)  # its last use
        head, _, rest = zlib.decompress(held[32:]).partition(b"\n")
        files, at = {}, 0
        for name, size in json.loads(head):
            files[name] = rest[at : at + size]
            at += size
        return files

    def put(self, key: str, files: "dict[str, bytes]") -> None:
        """Raises OSError, and leaves nothing then."""
        head = json.dumps([[name, len(data)] for name, data in files.items()]).encode()
        packed = zlib.compress(b"\n".join([head, b"".join(files.values())]), 1)
        path = self.path(key)
        path.parent.mkdir(parents=True, exist_ok=True)
        made = path.with_name(f"{path.name}.tmp.{os.getpid()}")  # ccache removes what is called so, and left
        try:
            made.write_bytes(hashlib.sha256(packed).digest() + packed)
            made.replace(path)
        except OSError:  # a full disk
            made.unlink(missing_ok=True)
            raise
