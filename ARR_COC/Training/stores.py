"""Where checkpoints are kept: a folder of this machine, or gs://BUCKET/FOLDER. /gcs/BUCKET/FOLDER is the same bucket.

A checkpoint is a folder `step-000200`. Its last file is DONE, which lists the others with their sizes and sums: without it, or
where a file is not what it says, there is no checkpoint.
"""

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from ARR_COC.errors import CheckpointError

if TYPE_CHECKING:
    from fsspec import AbstractFileSystem

DONE = "DONE"


class Broken(Exception):
    """A checkpoint that is not whole; the message says what is wrong with it."""


class Store(Protocol):
    """Keeps checkpoints by the number of their step."""

    place: str

    def steps(self) -> "list[int]":
        """The steps of the finished checkpoints, ascending."""
        ...

    @contextmanager
    def fetched(self, step: int) -> Iterator[Path]:
        """A checkpoint as a folder of this machine. Raises Broken where it is not whole."""
        ...

    def publish(self, step: int, folder: Path) -> str:
        """Takes a folder's files over, DONE last, and returns where they are. Raises OSError as the storage does."""
        ...

    def remove(self, step: int) -> None: ...

    def put(self, name: str, data: bytes) -> None:
        """A file beside the checkpoints. Raises OSError as the storage does."""
        ...


def connect(output: str) -> Store:
    """The store of an output: `gs://BUCKET/FOLDER`, or a folder."""
    place = address(output)
    return Bucket(place) if is_bucket(place) else Folder(Path(place))


def address(output: str) -> str:
    """Vertex AI mounts every bucket below /gcs. No folder can be renamed there (gcsfuse, docs/semantics.md), so the bucket itself is asked.

    >>> address("/gcs/my-bucket/runs/1")
    'gs://my-bucket/runs/1'
    """
    return f"gs://{output.removeprefix('/gcs/')}" if output.startswith("/gcs/") else output


def is_bucket(output: str) -> bool:
    return address(output).startswith("gs://")


def name_of(step: int) -> str:
    return f"step-{step:06d}"


def step_of(name: str) -> "int | None":
    """By number and not by name: step-1000000 comes after step-999999.

    >>> step_of("step-000200"), step_of("step-000200.partial-7")
    (200, None)
    """
    found = re.fullmatch("step-([0-9]{1,18})", name)
    return int(found[1]) if found else None


def seal(folder: Path) -> str:
    """The text of DONE: the folder's files with their sizes and SHA-256."""
    files = {
        path.name: {"size": path.stat().st_size, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
        for path in sorted(folder.iterdir())
    }
    return json.dumps(files, indent=1)


def check(folder: Path) -> None:
    """Raises Broken where the files of a folder are not what its DONE says."""
    try:
        files = json.loads((folder / DONE).read_text())
    except (OSError, ValueError):
        raise Broken("it has no readable DONE") from None
    for name, expected in files.items():
        path = folder / name
        if not path.is_file():
            raise Broken(f"{name} is missing")
        if path.stat().st_size != expected["size"]:
            raise Broken(f"{name} has {path.stat().st_size} bytes instead of {expected['size']}")
        if hashlib.sha256(path.read_bytes()).hexdigest() != expected["sha256"]:
            raise Broken(f"{name} has other contents than were written")


class Folder:
    """Checkpoints in a folder: written beside their name, flushed to the disk, renamed."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.place = folder, str(folder)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CheckpointError(f"the output folder {folder} can't be made: {error.strerror}") from None
        for left in folder.glob("step-*.partial-*"):  # of a run that was killed while it wrote
            shutil.rmtree(left, ignore_errors=True)

    def steps(self) -> "list[int]":
        found = [step_of(path.name) for path in self.folder.iterdir() if (path / DONE).is_file()]
        return sorted(step for step in found if step is not None)

    @contextmanager
    def fetched(self, step: int) -> Iterator[Path]:
        check(self.folder / name_of(step))
        yield self.folder / name_of(step)

    def publish(self, step: int, folder: Path) -> str:
        final = self.folder / name_of(step)
        partial = final.with_name(f"{final.name}.partial-{os.getpid()}")
        try:
            shutil.copytree(folder, partial)
            (partial / DONE).write_text(seal(folder))
            for path in (*partial.iterdir(), partial):
                _flush(path)
            if final.exists():  # one that is not whole: a finished one is never written twice
                shutil.rmtree(final)
            partial.rename(final)
            _flush(self.folder)
        except OSError:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return str(final)

    def remove(self, step: int) -> None:
        (self.folder / name_of(step) / DONE).unlink(missing_ok=True)
        shutil.rmtree(self.folder / name_of(step), ignore_errors=True)

    def put(self, name: str, data: bytes) -> None:
        partial = self.folder / f".{name}.partial-{os.getpid()}"
        partial.write_bytes(data)
        partial.replace(self.folder / name)


class Bucket:
    """Checkpoints in Google Cloud Storage. Objects appear whole, and DONE is the last of them."""

    def __init__(self, place: str) -> None:
        self.place = place.rstrip("/")
        self.files = _gcs()

    def steps(self) -> "list[int]":
        with _refusals():
            self.files.invalidate_cache()
            found = [step_of(path.split("/")[-2]) for path in self.files.glob(f"{self.place}/step-*/{DONE}")]
        return sorted(step for step in found if step is not None)

    @contextmanager
    def fetched(self, step: int) -> Iterator[Path]:
        with tempfile.TemporaryDirectory() as name:
            with _refusals():
                for path in self.files.ls(f"{self.place}/{name_of(step)}", detail=False):
                    self.files.get_file(path, str(Path(name, path.rpartition("/")[2])))
            check(Path(name))
            yield Path(name)

    def publish(self, step: int, folder: Path) -> str:
        final = f"{self.place}/{name_of(step)}"
        with _refusals():
            for path in sorted(folder.iterdir()):
                self.files.put_file(str(path), f"{final}/{path.name}")
            self.files.pipe_file(f"{final}/{DONE}", seal(folder).encode())
        return final

    def remove(self, step: int) -> None:
        final = f"{self.place}/{name_of(step)}"
        with _refusals():
            self.files.rm_file(f"{final}/{DONE}")
            self.files.rm(final, recursive=True)

    def put(self, name: str, data: bytes) -> None:
        with _refusals():
            self.files.pipe_file(f"{self.place}/{name}", data)


def _gcs() -> "AbstractFileSystem":
    # gcsfs asks every bucket for its storage layout by gRPC first: 60 s each against a server that has none.
    os.environ.setdefault("GCSFS_EXPERIMENTAL_ZB_HNS_SUPPORT", "false")
    import gcsfs

    return gcsfs.GCSFileSystem(token="anon" if os.environ.get("STORAGE_EMULATOR_HOST") else None)


@contextmanager
def _refusals() -> Iterator[None]:
    """Whatever a bucket, its login or the way there refuses is an OSError, as a full disk is."""
    from gcsfs.retry import HttpError
    from google.auth.exceptions import GoogleAuthError

    try:
        yield
    except (HttpError, GoogleAuthError) as error:
        raise OSError(str(error)) from error


def _flush(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
