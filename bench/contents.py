"""How long reading an image takes, how much memory, and what a pull of it costs.

    python bench/contents.py layout WHEELS FOLDER      an OCI layout with one layer: the wheels of a folder, unpacked as pip does
    python bench/contents.py read TARGET               seconds, peak memory, packages, files, bytes of reading it for a bill
    python bench/contents.py pull OLD NEW              what a machine that has OLD pulls to get NEW

TARGET, OLD and NEW are what `arrstack report` takes: oci:DIR:TAG, a folder of wheels.
"""

import hashlib
import resource
import sys
import tarfile
import time
import zipfile
from pathlib import Path
from typing import BinaryIO

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.tools.oci import Layout, described

from arrstack.artifacts.open import open_target
from arrstack.contents.collect import take_inventory
from arrstack.contents.report.comparison import compare
from arrstack.contents.sbom import bill_of_materials
from arrstack.verify.header_index import HeaderIndex

SITE = "usr/local/lib/python3.13/site-packages"


class Hashing:
    """A file that knows the digest of what was written to it."""

    def __init__(self, file: BinaryIO) -> None:
        self.file, self.hash, self.size = file, hashlib.sha256(), 0

    def write(self, data: bytes) -> int:
        self.hash.update(data)
        self.size += len(data)
        return self.file.write(data)


def layout(wheels: Path, folder: Path) -> None:
    """One layer, not compressed, as a registry directory holds it."""
    made = Layout(folder)
    with (made.blobs / "layer").open("wb") as file:
        layer = Hashing(file)
        with tarfile.open(fileobj=layer, mode="w|") as tar:  # type: ignore[call-overload]
            for wheel in sorted(wheels.glob("*.whl")):
                add(tar, wheel)
    digest = layer.hash.hexdigest()
    (made.blobs / "layer").rename(made.blobs / digest)
    made.finish([described(digest, layer.size, "layer.v1.tar")], config={})


def add(tar: tarfile.TarFile, wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as packed:
        for info in packed.infolist():
            if not info.is_dir():
                member = tarfile.TarInfo(f"{SITE}/{info.filename}")
                member.size = info.file_size
                with packed.open(info) as file:
                    tar.addfile(member, file)


def read(target: str) -> None:
    began = time.monotonic(), time.process_time()
    found = take_inventory(open_target(target, HeaderIndex))
    bill_of_materials(found, "image")
    wall, cpu = time.monotonic() - began[0], time.process_time() - began[1]
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{wall:.1f} s ({cpu:.1f} CPU-s), peak {peak:.0f} MiB: {len(found.packages)} packages, {found.files} files, {found.bytes / 1e9:.2f} GB"
    )


def pull(old: str, new: str) -> None:
    found = compare(take_inventory(open_target(new, HeaderIndex)), take_inventory(open_target(old, HeaderIndex)))
    print(f"{found.fetched} of {found.inventory.stored} bytes: {found.fetched / found.inventory.stored:.4%}")


if __name__ == "__main__":
    {
        "layout": lambda: layout(Path(sys.argv[2]), Path(sys.argv[3])),
        "read": lambda: read(sys.argv[2]),
        "pull": lambda: pull(*sys.argv[2:4]),
    }[sys.argv[1]]()
