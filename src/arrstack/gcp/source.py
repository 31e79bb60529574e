"""The sources of a build as an archive that is the same for the same files: by name, without owners, dates and modes that do not count."""

import gzip
import hashlib
import shutil
import tarfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from arrstack.errors import ConfigError
from arrstack.model import EPOCH


@dataclass(frozen=True)
class Archive:
    path: Path
    digest: str
    """SHA-256 of the tar: the same files give it on every machine, whatever packs them."""

    @property
    def name(self) -> str:
        """Of the object that holds it."""
        return f"{self.digest}.tar.gz"


def pack(root: Path, files: Iterable[Path], target: Path) -> Archive:
    """Packs files and links, named relative to `root`, into `target` (a gzipped tar). Raises ConfigError where one cannot be read.

    pack(Path("."), [Path("stack.toml")], Path("/tmp/source.tar.gz")).digest
    """
    plain = target.with_suffix(".tar")
    with tarfile.open(plain, "w", format=tarfile.PAX_FORMAT) as tar:
        for path in sorted(files):
            try:
                add(tar, root, path)
            except OSError as error:
                raise ConfigError(f"{root / path} cannot be read: {error.strerror}") from None
    with plain.open("rb") as file, target.open("wb") as to, gzip.GzipFile("", "wb", fileobj=to, mtime=0) as packed:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        file.seek(0)
        shutil.copyfileobj(file, packed)
    plain.unlink()
    return Archive(target, digest)


def add(tar: tarfile.TarFile, root: Path, path: Path) -> None:
    entry = tar.gettarinfo(str(root / path), path.as_posix())
    entry.uid = entry.gid = 0
    entry.uname = entry.gname = ""
    entry.mtime = EPOCH
    if entry.islnk():  # a second name of a file is a file
        entry.type, entry.linkname, entry.size = tarfile.REGTYPE, "", (root / path).stat().st_size
    entry.mode = 0o777 if entry.issym() else 0o755 if entry.mode & 0o111 else 0o644
    if entry.isreg():
        with (root / path).open("rb") as content:
            tar.addfile(entry, content)
    else:
        tar.addfile(entry)
