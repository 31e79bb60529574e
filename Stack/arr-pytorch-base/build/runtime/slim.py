#!/usr/bin/env python3
"""slim.py [PATH...]: removes the test suites of installed packages, and PATHs of theirs, from pip's site directory.

RECORD loses the same lines, so that pip still knows exactly what is there. The trio of tier 1 is left as it was built:
its RECORDs are what the guard above compares with.
"""

import csv
import io
import shutil
import sys
from importlib import metadata
from pathlib import Path, PurePosixPath

KEPT_WHOLE = {"torch", "torchvision", "torchaudio"}


def unwanted(path: PurePosixPath, named: "set[str]") -> bool:
    """Whether a file of a package belongs to a test suite, or to a folder that was named."""
    folders = path.parts[:-1]
    if folders and folders[0].endswith((".dist-info", ".egg-info")):
        return False
    return "tests" in folders or any(str(path).startswith(name + "/") for name in named)


def slim(distribution: metadata.Distribution, named: "set[str]") -> int:
    """Removes what is unwanted of one distribution. Returns the bytes freed."""
    record = distribution.read_text("RECORD")
    if record is None:  # the distribution's own package, not pip's
        return 0
    rows = list(csv.reader(io.StringIO(record)))
    gone = {row[0] for row in rows if unwanted(PurePosixPath(row[0]), named)}
    freed = 0
    for name in gone:
        path = Path(str(distribution.locate_file(name)))
        if path.is_file():
            freed += path.stat().st_size
            path.unlink()
    if gone:
        kept = io.StringIO()
        csv.writer(kept, lineterminator="\n").writerows(row for row in rows if row[0] not in gone)
        record_path = next(file for file in distribution.files or [] if file.name == "RECORD" and ".dist-info" in str(file))
        Path(str(distribution.locate_file(record_path))).write_text(kept.getvalue())
    return freed


def remove_empty(site: Path) -> None:
    """Removes folders in which nothing is left, deepest first; byte code does not count."""
    for cache in list(site.rglob("__pycache__")):
        shutil.rmtree(cache)
    for folder in sorted((path for path in site.rglob("*") if path.is_dir()), reverse=True):
        if not any(folder.iterdir()):
            folder.rmdir()


def main(named: "set[str]") -> None:
    freed, sites = 0, set()
    for distribution in metadata.distributions():
        if distribution.metadata["Name"].lower() not in KEPT_WHOLE and distribution.read_text("RECORD") is not None:
            freed += slim(distribution, named)
            sites.add(Path(str(distribution.locate_file(""))))
    for site in sites:
        remove_empty(site)
    print(f"test suites removed: {freed / 2**20:.0f} MiB")


if __name__ == "__main__":
    main(set(sys.argv[1:]))
