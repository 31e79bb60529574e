"""What this machine remembers of one stack and profile: how long its steps took, and which things it made here.

memory = Folders.of(os.environ).memory(Path("stack.toml"), "cpu")
memory.remember("arr-trainer", 12.5)
"""

import hashlib
import json
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from urllib.parse import quote

FOR_ARCHS = " architectures"
"""What follows a step's name where its number of architectures stands."""


class Kind(StrEnum):
    """What a stack makes on a machine and in its registry, each known by a name."""

    IMAGE = "image"
    """A reference in the engine's store."""
    MOUNT = "mount"
    """The id of a cache mount."""
    TAG = "tag"
    """REPOSITORY:TAG in the registry."""
    PASSED = "passed"
    """IMAGE-DIGEST CHECKS-DIGEST: checks that an image passed after it was published."""
    LOG = "log"
    """The file name of a step's log."""


@dataclass(frozen=True)
class Launched:
    """A launch: when it began and ended (ISO 8601; '' while it runs, or where it was killed), and how. `log` is the file name of the log of
    the step that failed, where one did."""

    began: str
    ended: str = ""
    result: str = ""
    detail: str = ""
    log: str = ""


@dataclass(frozen=True)
class Memory:
    """A folder of the machine's state. What is damaged counts as forgotten: it only estimates, and only names what may go."""

    folder: Path

    @classmethod
    def of(cls, state: Path, stack: Path, profile: str) -> "Memory":
        """The memory of a profile of the stack in that file."""
        place = hashlib.sha256(str(stack.resolve()).encode(errors="surrogateescape")).hexdigest()[:12]
        return cls(state / "stacks" / f"{stack.resolve().parent.name or 'root'}-{place}" / profile)

    def others(self) -> list["Memory"]:
        """The memories of all other stacks and profiles on this machine."""
        folders = (path for path in self.folder.parents[1].glob("*/*") if path.is_dir())
        return [Memory(path) for path in sorted(folders) if path != self.folder]

    # -- how long steps took

    def durations(self, archs: int | None = None) -> dict[str, float]:
        """Step -> seconds of its last run here that did the whole work; not of a compile for another number of architectures, where one
        is named."""
        known = self._durations()
        told = {step: seconds for step, seconds in known.items() if not step.endswith(FOR_ARCHS)}
        return {step: seconds for step, seconds in told.items() if archs in (None, known.get(step + FOR_ARCHS, archs))}

    def _durations(self) -> dict[str, float]:
        try:
            read = json.loads((self.folder / "durations.json").read_text())
            return {str(step): float(seconds) for step, seconds in read.items()}
        except (OSError, ValueError, AttributeError, TypeError):
            return {}

    def remember(self, step: str, seconds: float, archs: int = 0) -> None:
        """`archs` is for how many architectures it compiled; 0 where it makes no GPU code. One at a time: it is read, and written anew."""
        known = self._durations() | {step: round(seconds, 1), step + FOR_ARCHS: float(archs)}
        if not archs:
            del known[step + FOR_ARCHS]  # of an earlier compile, which made some
        self._write("durations.json", json.dumps(known, indent=1, sort_keys=True))

    # -- what its edges cost

    def edges(self, step: str) -> str:
        """The record of a step's edges that was kept; '' where there is none."""
        try:
            return (self.folder / _record(step)).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def keep_edges(self, step: str, record: str) -> None:
        """In place of the one before."""
        self._write(_record(step), record)

    # -- how the last launch went

    def began(self, at: str) -> None:
        """A launch begins; until `ended` it counts as one that was killed."""
        self._write("launch.json", json.dumps(Launched(at).__dict__))

    def ended(self, result: str, at: str, detail: str = "", log: str = "") -> None:
        """How it went: `done`, `failed` or `interrupted`. `detail` is what failed."""
        began = self.launched()
        self._write("launch.json", json.dumps(Launched(began.began if began else at, at, result, detail, log).__dict__))

    def launched(self) -> "Launched | None":
        """The last launch of this stack and profile here; None where there was none."""
        try:
            read = json.loads((self.folder / "launch.json").read_text())
            return Launched(*(str(read[name]) for name in ("began", "ended", "result", "detail", "log")))
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def fail(self, log: str) -> None:
        """A step failed, and its log has this file name."""
        self._write("failed.json", json.dumps(log))

    def failed(self) -> str:
        """The file name of the log of the step that failed last; '' where none did."""
        try:
            name = json.loads((self.folder / "failed.json").read_text())
            return name if isinstance(name, str) and "/" not in name else ""
        except (OSError, ValueError):
            return ""

    # -- what was made

    def note(self, kind: Kind, *names: str) -> None:
        """Remembers things as this stack's own. Several threads may note at once."""
        known = self.noted(kind)
        if new := [name for name in names if name not in known]:
            self.folder.mkdir(parents=True, exist_ok=True)
            with (self.folder / "made.tsv").open("a", encoding="utf-8") as file:
                file.write("".join(f"{kind.value}\t{name}\n" for name in new))

    def noted(self, kind: Kind) -> frozenset[str]:
        """The names of this kind of thing that this stack made here."""
        return frozenset(name for each, name in self._made() if each == kind.value)

    def forget(self, kind: Kind, names: Iterable[str]) -> None:
        """Of things that are gone."""
        gone = {(kind.value, name) for name in names}
        self._write("made.tsv", "".join(f"{each}\t{name}\n" for each, name in self._made() if (each, name) not in gone))

    def _made(self) -> list[tuple[str, str]]:
        try:
            lines = (self.folder / "made.tsv").read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError):
            return []
        return [(kind, name) for kind, tab, name in (line.partition("\t") for line in lines) if tab]

    def _write(self, name: str, text: str) -> None:
        self.folder.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile("w", encoding="utf-8", dir=self.folder, prefix=f"{name}.", delete=False) as new:
            new.write(text)
        Path(new.name).replace(self.folder / name)


def _record(step: str) -> str:
    return f"edges-{quote(step, safe='')}.tsv"
