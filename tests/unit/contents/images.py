"""Images for tests: OCI layouts written by hand, entry by entry."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from arrstack.artifacts.layout import OciLayout
from tests.tools.oci import write_layout
from tests.unit.artifacts.archives import Entries

STATUS = """\
Package: libc6
Status: install ok installed
Architecture: amd64
Source: glibc (2.41-12)
Version: 2.41-12+b1
Description: a library
 Package: not-a-package

Package: gone
Status: deinstall ok config-files
Architecture: amd64
Version: 1

Package: tzdata
Status: install ok installed
Architecture: all
Version: 2026a-1
"""
METADATA = "Metadata-Version: 2.4\nName: Torch\nVersion: 2.6.0\nLicense-Expression: BSD-3-Clause\n\nName: not-a-name\n"
RECORD = "torch/__init__.py,sha256=x,3\ntorch/lib/libtorch.so,,\n../../../bin/torchrun,,\ntorch-2.6.0.dist-info/METADATA,,\n"
SITE = "usr/lib/python3/dist-packages"
LABELS = {
    "io.arrstack.compiled": json.dumps(
        [
            {
                "distribution": "torch",
                "version": "2.6.0",
                "source": "git https://example.org/pytorch v2.6.0",
                "pin": "1eba9b3aa3c43f86f4a2c807ac8e12c4a7767340",
                "key": "ab12",
                "architectures": "8.9;9.0",
            }
        ]
    )
}


def system() -> Entries:
    """A distribution's layer: two packages, their lists and copyrights."""
    return (
        Entries()
        .file("etc/os-release", b'ID=debian\nVERSION_ID="13"\nVERSION_CODENAME=trixie\nPRETTY_NAME="Debian GNU/Linux 13"\n')
        .file("var/lib/dpkg/status", STATUS.encode())
        .file("var/lib/dpkg/info/libc6:amd64.list", b"/.\n/lib/x86_64-linux-gnu/libc.so.6\n")
        .file("var/lib/dpkg/info/tzdata.list", b"/.\n/usr/share/zoneinfo/UTC\n")
        .file("usr/share/doc/libc6/copyright", b"Format: x\nFiles: *\nLicense: LGPL-2.1+\n\nLicense: GPL-2+\n text\n")
        .link("usr/share/doc/tzdata", "libc6")
        .file("usr/lib/x86_64-linux-gnu/libc.so.6", b"c" * 100)
        .file("usr/share/zoneinfo/UTC", b"u" * 50)
    )


def torch() -> Entries:
    """A Python package as an installer leaves it, and a file that nobody owns."""
    return (
        Entries()
        .file(f"{SITE}/torch-2.6.0.dist-info/METADATA", METADATA.encode())
        .file(f"{SITE}/torch-2.6.0.dist-info/RECORD", RECORD.encode())
        .file(f"{SITE}/torch/__init__.py", b"abc")
        .file(f"{SITE}/torch/lib/libtorch.so", b"t" * 1000)
        .file("opt/app/run.py", b"r" * 10)
    )


def image(
    folder: Path, layers: Sequence[Entries | bytes], labels: Mapping[str, str] | None = None, made_by: Sequence[str] = ()
) -> OciLayout:
    """An OCI layout with one image of these layers, lowest first."""
    tars = [layer if isinstance(layer, bytes) else layer.tar() for layer in layers]
    history = [{"created_by": text} for text in made_by]
    write_layout(folder, tars, config={"Labels": dict(labels or LABELS)}, history=history)
    return OciLayout(folder, "")
