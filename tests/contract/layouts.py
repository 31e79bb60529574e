"""Images as files, written by hand, and what sends them to a registry."""

import tarfile
from collections.abc import Callable
from io import BytesIO
from pathlib import Path

from arrstack.machine import skopeo
from arrstack.machine.process import Processes
from tests.tools.oci import write_layout

LABELS = {"io.arrstack.inputs": '{"image/file a": "1"}', "io.arrstack.key": "k"}


def layout(folder: Path, content: str, labels: dict[str, str] | None = None) -> Path:
    """An OCI layout with one image of one small layer."""
    tar = BytesIO()
    with tarfile.open(fileobj=tar, mode="w") as archive:
        member = tarfile.TarInfo("file")
        member.size = len(content)
        archive.addfile(member, BytesIO(content.encode()))
    return write_layout(folder, [tar.getvalue()], config={"Labels": labels or LABELS, "Env": ["A=1"]})


def sender(source: Path) -> Callable[[str, bool], str]:
    """An engine's push in its simplest form: skopeo from a layout."""

    def send(destination: str, compress: bool) -> str:
        options = [] if compress else ["--dest-oci-accept-uncompressed-layers"]
        return skopeo.copy(Processes(), f"oci:{source}", destination, options)

    return send
