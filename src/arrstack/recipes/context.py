"""A build context: which of a folder's files the ignore rules let through, and a staged copy that has only content."""

import hashlib
import os
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from arrstack.errors import ConfigError
from arrstack.model import EPOCH


@dataclass(frozen=True)
class Entry:
    """One file, symbolic link or childless folder of a context. `value` is what of it can reach an image:
    `-` or `x` (executable) and the content's SHA-256; `-> TARGET`; `dir`."""

    path: str
    value: str


class IgnoreRules:
    """A .dockerignore file, as moby's patternmatcher reads it (the last pattern that matches decides)."""

    def __init__(self, text: str, path: Path | None = None):
        self.patterns: list[tuple[bool, str, re.Pattern[str]]] = []
        for number, raw in enumerate(text.splitlines(), 1):
            line = raw.strip()
            if not line or line.startswith("#"):
                continue
            keep = line.startswith("!")
            pattern = os.path.normpath(line.removeprefix("!").strip()).lstrip("/")
            if pattern and pattern != ".":
                try:
                    self.patterns.append((keep, pattern, re.compile(translate(pattern))))
                except re.error:
                    raise ConfigError(f"{path or '.dockerignore'}:{number}: '{line}' is not a pattern") from None

    def ignores(self, path: str) -> bool:
        """Whether the context lacks this path. A pattern that matches a folder matches what is in it."""
        whole = [path, *(str(parent) for parent in PurePosixPath(path).parents if str(parent) != ".")]
        ignored = False
        for keep, _, expression in self.patterns:
            if ignored == keep and any(expression.fullmatch(part) for part in whole):
                ignored = not keep
        return ignored

    def may_keep_below(self, folder: str) -> bool:
        """Whether some `!` pattern can bring back what lies in an ignored folder."""
        depth = folder.count("/") + 1
        for keep, pattern, _ in self.patterns:
            if keep:
                parts = pattern.split("/")
                head = "/".join(parts[:depth])
                if "**" in pattern or re.fullmatch(translate(head), folder):
                    return True
        return False


def translate(pattern: str) -> str:
    """A pattern as a regular expression: Go's filepath.Match, and `**` for any number of folders."""
    out, i = [], 0
    while i < len(pattern):
        char = pattern[i]
        if pattern.startswith("**", i):
            i += 2
            if pattern.startswith("/", i):
                i += 1
            out.append(".*" if i >= len(pattern) else "(.*/)?")
            continue
        if char == "*":
            out.append("[^/]*")
        elif char == "?":
            out.append("[^/]")
        elif char == "[":
            end = pattern.find("]", i + 2)
            if end < 0:
                raise re.error("unclosed [")
            out.append("[" + pattern[i + 1 : end].replace("\\", "\\\\") + "]")
            i = end
        elif char == "\\" and i + 1 < len(pattern):
            i += 1
            out.append(re.escape(pattern[i]))
        else:
            out.append(re.escape(char))
        i += 1
    return "".join(out)


def rules_for(dockerfile: Path, root: Path) -> IgnoreRules:
    """The rules that BuildKit takes: DOCKERFILE.dockerignore beside the recipe, else .dockerignore in the context."""
    for path in (dockerfile.with_name(dockerfile.name + ".dockerignore"), root / ".dockerignore"):
        if path.is_file():
            return IgnoreRules(path.read_text(encoding="utf-8"), path)
    return IgnoreRules("")


class BuildContext:
    """A folder seen through its ignore rules. Listing is cheap; contents are read when they are asked for."""

    def __init__(self, root: Path, rules: IgnoreRules):
        if not root.is_dir():
            raise ConfigError(f"the build context {root} is not a folder", "each tier's `context` in stack.toml names it")
        self.root, self.rules = root, rules
        self.paths: dict[str, os.DirEntry[str]] = {}
        self.known: dict[str, Entry] = {}
        """What was read of it. A build takes exactly this, or nothing."""
        self.empty: set[str] = set()
        self._walk(root, "")

    def _walk(self, folder: Path | str, prefix: str) -> bool:
        held = False
        try:
            found = sorted(os.scandir(folder), key=lambda entry: entry.name)
        except OSError as error:
            raise ConfigError(f"{folder} cannot be read: {error.strerror}") from None
        for entry in found:
            path = prefix + entry.name
            ignored = self.rules.ignores(path)
            if entry.is_dir(follow_symlinks=False):
                if ignored and not self.rules.may_keep_below(path):
                    continue
                below = self._walk(entry.path, path + "/")
                if not below and not ignored:
                    self.empty.add(path)
                held = held or below or not ignored
            elif not ignored:
                self.paths[path] = entry
                held = True
        return held

    def matching(self, pattern: str) -> list[str]:
        """The files, links and empty folders that a COPY source (a path or a glob) takes, folders with all below."""
        everything = [*self.paths, *self.empty]
        if not pattern:
            return sorted(everything)
        expression = re.compile(translate(pattern) + "(/.*)?", re.DOTALL)
        taken = {path for path in everything if expression.fullmatch(path)}
        for path in list(taken):
            taken |= self._behind(path)
        return sorted(taken)

    def _behind(self, path: str) -> set[str]:
        """What a link stands for, where that is in the context: COPY of the link itself follows it."""
        entry = self.paths.get(path)
        if entry is None or not entry.is_symlink():
            return set()
        target = os.path.normpath(os.path.join(os.path.dirname(path), os.readlink(entry.path)))
        return {p for p in self.paths if p == target or p.startswith(target + "/")}

    def entry(self, path: str) -> Entry:
        """What of this path can reach an image; read once. Raises ConfigError where it cannot be read."""
        if path not in self.known:
            self.known[path] = Entry(path, "dir") if path in self.empty else read(Path(self.paths[path].path), path)
        return self.known[path]

    def copy_to(self, destination: Path) -> None:
        """Copies the context without what does not count: modes 0644 and 0755, one date for all, no ignored file.

        Raises ConfigError where what is there is no longer what was read: the key would be another's.
        """
        try:
            self._copy(destination)
        except FileNotFoundError as error:
            raise changed(error.filename) from None
        for path, was in self.known.items():
            if path not in self.empty and read(destination / path, path) != was:
                raise changed(self.paths[path].path)

    def _copy(self, destination: Path) -> None:
        destination.mkdir(parents=True)
        for path in self.empty:
            (destination / path).mkdir(parents=True, exist_ok=True)
        for path, entry in self.paths.items():
            target = destination / path
            target.parent.mkdir(parents=True, exist_ok=True)
            if entry.is_symlink():
                target.symlink_to(os.readlink(entry.path))
            else:
                shutil.copyfile(entry.path, target)
                target.chmod(0o755 if entry.stat().st_mode & 0o111 else 0o644)
        for made in descending(destination):
            if not made.is_symlink() and made.is_dir():
                made.chmod(0o755)
            os.utime(made, (EPOCH, EPOCH), follow_symlinks=False)


def read(file: Path, path: str) -> Entry:
    """The entry of a file or link. Raises ConfigError where it is something else, or cannot be read."""
    if file.is_symlink():
        return Entry(path, f"-> {os.readlink(file)}")
    try:
        mode = file.stat().st_mode
        if not stat.S_ISREG(mode):
            raise ConfigError(f"{file} is no file, folder or link: it cannot be in a build context")
        with file.open("rb") as content:
            digest = hashlib.file_digest(content, "sha256").hexdigest()
    except OSError as error:
        raise ConfigError(f"{file} cannot be read: {error.strerror}") from None
    return Entry(path, f"{'x' if mode & 0o111 else '-'} {digest}")


def changed(file: str) -> ConfigError:
    return ConfigError(f"{file} was changed while the launch ran", "launch again: what is finished stays, and goes on")


def descending(root: Path) -> Iterator[Path]:
    """Everything below and including a folder, contents first, so that dates set on folders stay."""
    for folder, _, files in os.walk(root, topdown=False):
        yield from (Path(folder, name) for name in files)
        yield from (Path(folder, name) for name in os.listdir(folder) if Path(folder, name).is_symlink())
        yield Path(folder)


def entries(context: BuildContext, patterns: Iterable[str]) -> Mapping[str, Entry]:
    """The entries of all that the patterns take, by path."""
    return {path: context.entry(path) for pattern in patterns for path in context.matching(pattern)}
