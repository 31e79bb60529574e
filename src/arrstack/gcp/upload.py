"""The files that Cloud Build gets: those that `gcloud builds submit` would upload, by the same .gcloudignore.

upload.files(Path("."))  # [Path("CLI/cli.py"), ...]
"""

import os
from fnmatch import fnmatchcase
from pathlib import Path

from arrstack.errors import ConfigError

IGNORE_FILE = ".gcloudignore"


def files(root: Path) -> list[Path]:
    """The files and links below `root`, relative to it, by name. Raises ConfigError where .gcloudignore has lines of another form than ours:
    `/*`, `!/NAME` for what of the top goes along, `NAME` or `*.END` for what never does, at any depth."""
    kept, never = rules(root / IGNORE_FILE)
    found: list[Path] = []
    for name in sorted(kept):
        top = root / name
        if top.is_file() or top.is_symlink():
            found.append(Path(name))
        for folder, folders, names in os.walk(top):
            links = [each for each in folders if (Path(folder) / each).is_symlink()]
            folders[:] = sorted(each for each in folders if each not in links and not ignored(each, never))
            found += [Path(folder, each).relative_to(root) for each in [*names, *links] if not ignored(each, never)]
    return sorted(found)


def ignored(name: str, never: list[str]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in never)


def rules(path: Path) -> tuple[list[str], list[str]]:
    """What of the top goes along, and the patterns of names that never do."""
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except OSError as error:
        raise ConfigError(
            f"{path} cannot be read: {error.strerror}", "without it gcloud would upload all that git does not ignore"
        ) from None
    kept, never = [], []
    for number, line in enumerate(lines, 1):
        if not line or line.startswith("#") or line == "/*":
            continue
        if line.startswith("!/") and "/" not in line[2:].rstrip("/"):
            kept.append(line[2:].rstrip("/"))
        elif not set(line) & set("/!["):
            never.append(line)
        else:
            raise ConfigError(
                f"{path}:{number}: '{line}' is no line of the form that both uploads understand", "see the file's head"
            )
    if "/*" not in lines:
        raise ConfigError(f"{path}: the line /* is missing", "name what goes along, not what stays")
    return kept, never
