"""A build context: which of a folder's files the ignore rules let through, what an instruction takes of them, and a staged
copy that holds what was read and nothing else."""

import bisect
import json
import os
import posixpath
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path

from arrstack.errors import ConfigError
from arrstack.model import EPOCH, sha256
from arrstack.recipes.files import Entry, changed, copy_file, descending, listing, read
from arrstack.recipes.ignore import IgnoreRules
from arrstack.recipes.patterns import Matcher, PatternError, clean, has_meta, tokens_of

DEEPEST = 500
"""Folders within each other: Python's own functions go no deeper than about 900."""
MOST_LINKS = 255
"""Links that one path may lead through (containerd/continuity, fs.RootPath)."""


class BuildContext:
    """A folder seen through its ignore rules. Listing is cheap; contents are read when they are asked for."""

    def __init__(self, root: Path, rules: IgnoreRules):
        if not root.is_dir():
            raise ConfigError(f"the build context {root} is not a folder", "each tier's `context` in stack.toml names it")
        self.root, self.rules = root, rules
        self.paths: dict[str, os.DirEntry[str]] = {}
        """What is not ignored and no folder."""
        self.folders: dict[str, list[str]] = {"": []}
        """The names in each folder that is not ignored, or holds something that is not."""
        self.known: dict[str, Entry] = {}
        """What was read of it. A build gets exactly this."""
        self.taken: set[str] = set()
        """Of `known`, what instructions take for itself; the rest are links that lead there."""
        self.relinked: dict[str, str] = {}
        """Links whose staged copy points elsewhere: at the same file, by a way that stays inside the context."""
        self._walk()
        self.empty = {path for path, names in self.folders.items() if path and not names}
        self.everything = sorted([*self.paths, *self.empty])

    def _walk(self) -> None:
        todo: list[tuple[str, Sequence[bool] | None]] = [("", None)]
        ignored_folders = []
        while todo:
            folder, matched = todo.pop()
            if folder.count("/") >= DEEPEST:
                raise ConfigError(
                    f"{self.root}: more than {DEEPEST} folders lie in each other", f"the deepest begins {folder[:40]}"
                )
            names = self.folders.setdefault(folder, [])
            for entry in listing(self.root / folder):
                path = posixpath.join(folder, entry.name)
                ignored, matches = self.rules.matches(path, matched)
                if not entry.is_dir(follow_symlinks=False):
                    if ignored:
                        continue
                    self.paths[path] = entry
                elif not ignored or self.rules.may_keep_below(path):
                    todo.append((path, matches))
                    ignored_folders += [path] if ignored else []
                else:
                    continue
                names.append(entry.name)
        for path in reversed(ignored_folders):  # what is inside comes first
            if not self.folders[path]:
                del self.folders[path]
                self.folders[posixpath.dirname(path)].remove(posixpath.basename(path))

    def is_link(self, path: str) -> bool:
        return path in self.paths and self.paths[path].is_symlink()

    # -- what instructions take

    def matching(self, pattern: str) -> list[str]:
        """The files, links and empty folders that a COPY source (a path or a glob) takes: folders with all below, links with
        what they stand for. Raises PatternError for a malformed pattern, or a link to nothing.

        `matching("src/*.py")` is `["src/a.py"]`. Where the engines read a pattern in two ways it is what either takes.
        """
        pattern = clean("/" + pattern).lstrip("/")
        links: set[str] = set()
        found: set[str] = set()
        named = self._globbed(pattern, links) if has_meta(pattern) or "\\" in pattern else set()
        if not has_meta(pattern):
            named.add(pattern)
        for path in named:
            ends = set(self._ends(path, links))
            if not ends and self.is_link(path):
                raise PatternError(f"the link {path} leads to nothing")
            found |= {each for end in ends for each in self.below(end)}
        self.taken |= found
        return sorted(found | links) if found else []

    def mounted(self, source: str) -> list[str]:
        """The same for the source of a bind mount, which is no pattern. A link in it that leads out of the context leads, for
        docker, to its root; buildah would follow it on this machine, so its staged copy is a link that stays inside."""
        links: set[str] = set()
        real = ""
        for name in clean("/" + source).lstrip("/").split("/"):
            path = posixpath.join(real, name).rstrip("/")
            followed: list[str] = []
            end, escapes = self._real(path, followed)
            if end is None:
                return []
            links |= set(followed)
            if escapes:
                self.relinked[path] = posixpath.relpath("/" + end, "/" + posixpath.dirname(path))
            real = end
        found = set(self.below(real))
        self.taken |= found
        return sorted(found | links)

    def check_links(self, where: str) -> None:
        """Raises ConfigError for a link that a mount leads through, out of the context, and that is copied as a link too."""
        if both := sorted(self.taken & self.relinked.keys()):
            raise ConfigError(
                f"{where}: the link {both[0]} leads out of the build context, where a mount would follow it",
                "make it a relative link inside the context, or mount what it stands for",
            )

    def below(self, path: str) -> list[str]:
        """A file itself; of a folder everything that is below it."""
        if path in self.paths or path in self.empty:
            return [path]
        if not path:
            return list(self.everything)
        start = bisect.bisect_left(self.everything, path + "/")
        return self.everything[start : bisect.bisect_left(self.everything, path + "0", start)]  # "0" comes next to "/"

    def _ends(self, path: str, links: set[str]) -> Iterator[str]:
        """Where a path leads, through all links. buildah takes `..` in a link that was reached by a link for its text."""
        followed: list[str] = []
        real, _ = self._real(path, followed)
        if real is not None:
            links |= set(followed)
            yield real
        by_text = path
        for _ in range(MOST_LINKS):
            parent, _ = self._real(posixpath.dirname(by_text), followed)
            link = posixpath.join(parent or "", posixpath.basename(by_text))
            if parent is None or not self.is_link(link):
                break
            target = os.readlink(self.paths[link].path)
            by_text = clean(posixpath.join("/", posixpath.dirname(by_text), target)).lstrip("/")
        other, _ = self._real(by_text, followed)
        if other is not None and other != real:
            links |= set(followed)
            yield other

    def _real(self, path: str, followed: list[str]) -> tuple[str | None, bool]:
        """The path without links, None where nothing is there; and whether a link leads out of the context on the way, where
        it is held at its root. Adds the links to `followed`."""
        todo = path.split("/")[::-1]
        real: list[str] = []
        escapes = False
        links = 0
        while todo:
            name = todo.pop()
            if name in ("", "."):
                continue
            if name == "..":
                escapes |= not real
                real = real[:-1]
                continue
            here = "/".join([*real, name])
            if self.is_link(here):
                links += 1
                if links > MOST_LINKS:
                    return None, escapes
                followed.append(here)
                target = os.readlink(self.paths[here].path)
                if target.startswith("/"):
                    real, escapes = [], True
                todo += target.split("/")[::-1]
            elif here in self.folders or here in self.paths:
                real.append(name)
            else:
                return None, escapes
        return "/".join(real), escapes

    def _globbed(self, pattern: str, links: set[str]) -> set[str]:
        """The paths that a glob names: name by name, through linked folders, as buildah does; and as one text, as BuildKit."""
        paths = {""}
        for part in pattern.split("/"):
            matcher = Matcher(tokens_of(part))
            following: set[str] = set()
            for path in paths:
                followed: list[str] = []
                folder, _ = self._real(path, followed)
                names = (
                    [name for name in self.folders.get(folder or "", []) if matcher.matches(name)] if folder is not None else []
                )
                following |= {posixpath.join(path, name) for name in names}
                links |= set(followed) if names else set()
            paths = following
        if "[" in pattern:  # a class may stand for a slash there
            whole = Matcher(tokens_of(pattern))
            paths |= {path for path in (*self.paths, *self.folders) if path and whole.matches(path)}
        return paths

    def entry(self, path: str) -> Entry:
        """What of this path can reach an image; read once. Raises ConfigError where it cannot be read."""
        if path not in self.known:
            self.known[path] = Entry(path, "dir") if path in self.empty else read(Path(self.paths[path].path), path)
        return self.known[path]

    # -- a staged copy

    def copy_to(self, destination: Path) -> None:
        """Copies what was read, without what does not count: modes 0644 and 0755, one date for all, see `date`.

        Raises ConfigError where what is there is no longer what was read: the key would be another's.
        """
        try:
            self._copy(destination)
        except FileNotFoundError as error:
            raise changed(error.filename) from None
        for path, was in self.known.items():
            copied = self.root / path if path in self.relinked else destination / path
            if path not in self.empty and read(copied, path) != was:
                raise changed(self.paths[path].path)

    def _copy(self, destination: Path) -> None:
        destination.mkdir(parents=True)
        for path in self.known:
            target = destination / path
            if path in self.empty:
                target.mkdir(parents=True, exist_ok=True)
                continue
            target.parent.mkdir(parents=True, exist_ok=True)
            entry = self.paths[path]
            if entry.is_symlink():
                target.symlink_to(self.relinked.get(path) or os.readlink(entry.path))
            else:
                copy_file(entry.path, target)
                target.chmod(0o755 if entry.stat().st_mode & 0o111 else 0o644)
        for made in descending(destination):
            if not made.is_symlink() and made.is_dir():
                made.chmod(0o755)
            os.utime(made, ns=(self.date, self.date), follow_symlinks=False)

    @property
    def date(self) -> int:
        """The date of all staged files, in nanoseconds: EPOCH, and up to four days that are made of what was read.

        BuildKit keeps the last context that it was sent, whoever sent it, and takes a file of the same path, size and date
        for the same file (tonistiigi/fsutil, sameFile). The engines cut what is later than EPOCH off in layers.
        """
        read = json.dumps(sorted((entry.path, entry.value) for entry in self.known.values()))
        return EPOCH * 10**9 + 1 + int(sha256(read)[:12], 16)


def entries(context: BuildContext, patterns: Iterable[str]) -> Mapping[str, Entry]:
    """The entries of all that the patterns take, by path."""
    return {path: context.entry(path) for pattern in patterns for path in context.matching(pattern)}
