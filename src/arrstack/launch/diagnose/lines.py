"""Pure: a log's raw lines -> what was said in it: without what builders put before a line, without commands that are only repeated.

Every step takes time linear in the line, and a line is cut first: a log is foreign text.
"""

import re
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TextIO

LONGEST, KEPT_END = 2000, 500
"""Characters of a line that are looked at, and how many of them are its last ones: a builder names its exit status behind a long command."""
READ = 1 << 16
"""Characters of a line that are read at once."""
_PREFIXES_MOST = 8

_ANSI = re.compile(
    r"[\x1b\x9b](?:(?:(?<=\x1b)\[|(?<=\x9b))[0-?]{0,40}[ -/]{0,4}[@-~]|\][^\x07\x1b]{0,1500}(?:\x07|\x1b\\)|[@-Z\\^_])"
)
"""Control sequences of ECMA-48: CSI, OSC and the two-character ones."""

_PREFIX = re.compile(
    r"""[ \t]*(?:
      \#\d{1,6}\ (?:\d{1,6}\.\d{1,3}(?:\ |$))?                                      # BuildKit, plain: step and seconds
    | \d{1,6}\.\d{1,3}\ (?=\S)                                                      # BuildKit's summary
    | Step\ \#\d{1,4}(?:\ -\ "[^"]{0,200}")?:\                                      # Cloud Build
    | \[?\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|\ ?[+-]\d\d:?\d\d)?\]?(?:\ \d\d[OE][+]?)?[ \t]+  # GitHub, GitLab, journals
    | \d{4}/\d\d/\d\d\ \d\d:\d\d:\d\d(?:\.\d{1,6})?[ ]                              # Go's log
    | \[[A-Z][a-z]{2}\ [A-Z][a-z]{2}\ [ \d]\d\ \d\d:\d\d:\d\d\ \d{4}\]\             # dmesg -T
    | \(\d\d:\d\d:\d\d\)[ ]                                                         # Bazel
    | \[(?:step-|build)[\w-]{0,40}\][ ]                                             # Tekton
    | \[?\d\d:\d\d:\d\d(?:[.,]\d{1,6})?\]?[ \t]+                                    # Jenkins
    | [A-Z][a-z]{2}\ [ \d]\d\ \d\d:\d\d:\d\d\ [\w.-]{1,64}\ [\w.\[\]/-]{1,64}:\     # syslog
    | \[[ ]{0,8}\+?\d{1,9}\.\d{6}\]\                                                # the kernel
    | (?:INFO|ERRO|FATA|ERROR)\[\d{4,6}\]\                        # kaniko, podman
    | time="[^"]{0,64}"\ level=(?:error|fatal|info)\ msg="?                                       # docker, podman
    | [IWEF]\d{4}\ \d\d:\d\d:\d\d\.\d{1,9}\ +\d{1,20}\ [\w./-]{1,100}:\d{1,6}\]\    # glog
    | \#\#\[(?:error|section)\]                               # GitHub, Azure
    | ::error\b[^:]{0,300}::
    | [^\t|]{1,100}\t[^\t|]{1,100}\t(?=\d{4}-\d\d-\d\dT)                            # gh run view --log
    | [\w.-]{1,64}[-_]\d{1,3}[ ]{1,20}\|\                                           # compose
    | \|\ (?=\S)
    | [│┃×╰─>]{1,6}(?=\ )(?!\ \[)                                                   # pip's box
    | E\ {3,8}(?=\S)                                                                # pytest
    | std(?:err|out)\ ?:?\ (?:[FP]\ )?
    )""",
    re.VERBOSE,
)

_REPEATED = re.compile(
    r"""(?:
      Step\ \d{1,4}/\d{1,4}\ ?:\  | (?:\[\d{1,4}/\d{1,4}\]\ )?STEP\ \d{1,4}         # docker, buildah
    | \[[\w.\ /-]{0,80}\d/\d{1,4}\]\ (?:RUN|COPY|ADD|FROM|WORKDIR|ENV|ARG|USER|SHELL)\b | (?:=>|>)\ +(?:(?:ERROR|CANCELED|CACHED)\ )?\[ | =>\   # BuildKit
    | (?:RUN|ENV|CMD|ARG|FROM)\ | (?:COPY|ADD)\ (?!failed)| (?:Cmd|cmd|Args|args):\                  # kaniko
    | >>>\ | \d{1,6}\ \| | \|[ ]*[\^~|+] | \#\#\[(?:group|endgroup|command)\]       # an excerpt of a source
    | \+{1,6}\ (?!\d)                                                               # set -x
    | (?:cd\ \S{1,300}\ &&\ )?(?:\S{0,200}/)?(?:ccache\ |sccache\ |distcc\ )?(?:\S{0,200}/)?
      (?:nvcc|cicc|ptxas|cudafe\+\+|cc|c\+\+|gcc|g\+\+|clang|clang\+\+|[\w]{1,20}-linux-gnu-(?:gcc|g\+\+|ld)|ld|ar|python3?|cmake|ninja|make|pip3?)(?:-\d{1,3})?\ (?:-m\ \w+\ )?(?:-|install\b|/)
    | arrstack:\ .*(?:nvcc\ compiles\ it\ whole|so\ one\ by\ one|is\ not\ kept):\    # what our own compile went round
    | ARRSTACK\ (?:edge|cache):\                              # what a compile says by the clock
    | Running(?:\ command\ |:\ \[) | Complete\ output\ from\ command | \ ?--->\ (?:Running\ in|[0-9a-f]{12})
    )""",
    re.VERBOSE,
)
"""Lines that repeat a command, a source or a failure that was met: what they hold was said by nobody."""

_ENDINGS = (
    "returned a non-zero code: ",
    "returned non-zero exit status ",
    "did not complete successfully: ",
    "]: exit code: ",
    "while running runtime: ",
    "died with <Signals",
    "failed with exit code ",
    "failed with exit status ",
)
"""What stands behind a command that a builder repeats; the command itself says nothing."""

_SOFT = re.compile(
    r"(?:(?:\#\#\[(?:warning|debug)\]|WARN(?:ING)?\[\d{4,6}\]|DEBU\[\d{4,6}\]|time=\"[^\"]{0,64}\" level=(?:warn|debug)|::warning)|(?:cmake |user|deprecation|future|runtime)? ?warn(?:ing)?s?\b|w: |n: |note: |info\b|debug\b|hint: |-- |checking )"
    r"|.*(?:(?:warning|\bnote): |\bretry(?:ing)?\b|\bretry scheduled\b|\btrying again\b|\bwill (?:be )?retr|\bignor(?:ed|ing)\b"
    r"|\bcontinuing\b|\b(?:- )?skipping\b|\bfalling back\b)",
    re.IGNORECASE,
)
"""A warning, or trouble that its own line says was met in another way."""

_EDGE = re.compile(r"\[\s*\d{1,9}(?:/\d{1,9}|%)\] (?!STEP )")
_FETCHED = re.compile(r"(?:Setting up|Unpacking) \S|Fetched \d|Submodule path '[^']{1,300}': checked out")
_WENT_ON = re.compile(r"Successfully (?:installed|built|tagged)|(?:\[\d{1,4}/\d{1,4}\] )?STEP \d{1,4}[/:]", re.IGNORECASE)
_STEP = re.compile(r"(?:\[\d{1,4}/\d{1,4}\] )?STEP \d{1,4}[/:]|\[[\w. /-]{0,80}\d/\d{1,4}\] RUN ", re.IGNORECASE)
_CMAKE = re.compile(
    r"CMake (?P<kind>Error|Warning|Deprecation Warning)\b(?P<place>[^:]{0,300}(?::\d{1,7}(?: \(\w{1,60}\))?)?):?(?P<rest>.*)"
)
_CMAKE_LINES = 12
_FAILED = re.compile(r"FAILED: (?:\[code=\d{1,3}\] )?(?P<object>\S{1,500})")
_COMMAND = re.compile(r" (?:-[co]|&&) ")
_CONTEXT = re.compile(
    r"In (?:member |static |lambda |copy |move )?(?:file included|function|constructor|destructor|instantiation|substitution|lambda)|from \S{1,300}[:,]$|during \w{1,20} pass"
    r"|required from|.{0,300}: (?:In |At )|ninja: |make|gmake|subprocess"
)


@dataclass(frozen=True)
class Said:
    """`text` was said in line `number` (from 1) of the log; `warning`: as a part of a warning of several lines.

    `soft`: as a warning, or as something that was overcome.
    """

    number: int
    text: str
    warning: bool = False

    @property
    def soft(self) -> bool:
        return self.warning or bool(_SOFT.match(self.text))


@dataclass
class Heard:
    """A log, listened to. After the last line `edge` is the last line in which a compile or a download went on, `steps` are those in which the build did,
    and `failed` is the line that names the command which failed, as its builder repeats it; before there is one, the step's own.
    """

    edge: int = 0
    steps: list[int] = field(default_factory=lambda: [0])
    failed: str = ""
    ended: bool = False
    """Whether `failed` is a command that a builder said to have failed."""

    def listen(self, lines: Iterable[str]) -> Iterator[Said]:
        """What was said. A CMake error is told a second time as one text; a failed edge with what its command said first, or alone."""
        block: _CMakeMessage | None = None
        failed: Said | None = None
        for number, line in _pieces(lines):
            bare = without_prefixes(line)
            text = bare.strip()
            if block is not None:
                if block.takes(bare, number):
                    if text:
                        yield Said(number, text, block.warning)
                    continue
                yield from block.told()
                block = None
            if not text:
                continue
            self._went_on(number, text)
            ending = _ending(text)
            if (ended := ending != text) or (_STEP.match(text) and not self.ended):
                self.failed, self.ended = text, ended
            if begins := _CMAKE.match(text):
                block = _CMakeMessage(begins, len(bare) - len(bare.lstrip()), number)
            elif object_ := _FAILED.match(text):
                if failed:
                    yield failed
                failed = Said(number, f"FAILED: {object_['object']}")
            elif not (_REPEATED.match(text) or _EDGE.match(text)):
                said = Said(number, ending)
                yield said
                if failed and not (_CONTEXT.match(text) or _COMMAND.search(text) or said.soft):
                    yield Said(number, f"{failed.text}: {text}")
                    failed = None
        if block is not None:
            yield from block.told()
        if failed:
            yield failed

    def _went_on(self, number: int, text: str) -> None:
        if _EDGE.match(text) or _FETCHED.match(text):
            self.edge = number
        elif _WENT_ON.match(text):
            self.steps.append(number)

    def step_of(self, number: int) -> int:
        """The line in which the step began that said a line."""
        return self.steps[bisect_left(self.steps, number) - 1]


class _CMakeMessage:
    """The lines of one message of CMake: those that are indented below its first."""

    def __init__(self, begins: re.Match[str], indent: int, number: int):
        self.warning = begins["kind"] != "Error"
        self.place, self.indent, self.number = begins["place"].strip(), indent, number
        self.lines = [begins["rest"].strip()] if begins["rest"].strip() else []

    def takes(self, bare: str, number: int) -> bool:
        """Whether the line belongs to it."""
        text = bare.strip()
        if not text:
            return True
        if text.startswith("Call Stack") or len(bare) - len(bare.lstrip()) <= self.indent:
            return False
        if not self.lines:
            self.number = number
        if len(self.lines) < _CMAKE_LINES:
            self.lines.append(text)
        return True

    def told(self) -> Iterator[Said]:
        if self.lines:
            yield Said(
                self.number,
                f"CMake {'Warning' if self.warning else 'Error'} {self.place}: {' '.join(self.lines)}"[:LONGEST],
                self.warning,
            )


def cut(line: str) -> str:
    """A line of at most `LONGEST` characters: its beginning and its end."""
    return line if len(line) <= LONGEST else f"{line[: LONGEST - KEPT_END - 3]} … {line[-KEPT_END:]}"


def without_prefixes(line: str) -> str:
    """A line as its program said it, with its indentation: `without_prefixes("#8 1.2   cc: x")` is `  cc: x`."""
    line = _ANSI.sub("", line)
    for _ in range(_PREFIXES_MOST):
        found = _PREFIX.match(line)
        if not found:
            break
        line = line[found.end() :]
    return line.rstrip()


def _pieces(lines: Iterable[str]) -> Iterator[tuple[int, str]]:
    """Lines, cut, with their numbers; of a line that a program wrote over with carriage returns each state."""
    for number, raw in enumerate(lines, 1):
        line = cut(raw.rstrip("\r\n"))
        for piece in line.split("\r") if "\r" in line else (line,):
            yield number, piece


def _ending(text: str) -> str:
    for ending in _ENDINGS:
        at = text.rfind(ending)
        if at > 0:
            return text[at:].removeprefix("]: ")
    return text


def read_lines(file: TextIO) -> Iterator[str]:
    """The lines of a log, at most two pieces of `READ` characters of each in memory. Open it with `newline="\\n"`, so that its lines are counted as
    an editor counts them."""
    while line := file.readline(READ):
        last = line
        while not last.endswith("\n") and (more := file.readline(READ)):
            last = (last + more)[-READ:]
        yield line if last is line else f"{line} {last}"


_NOISE = re.compile(
    r"^$|subprocess exited with status|(?:Get|Hit|Ign|Fetched):?\d+ |(?:Selecting|Preparing|Unpacking|Setting up|Processing|Collecting|Downloading|Requirement already) "
    r"|-{3,}$|ninja: build stopped|g?make(?:\[\d+\])?: (?:\*\*\*|Leaving|Entering)|\[end of output\]|note: This error originates from a subprocess"
    r"|Call Stack|compilation terminated|\^|━"
)


def useful_tail(lines: Sequence[str], count: int = 12) -> list[str]:
    """The last lines of a log that say something, cut, as they stand: no progress, no package manager's reports, no repeated commands."""
    found: list[str] = []
    for line in reversed(lines):
        text = without_prefixes(cut(line)).strip()
        if not (_NOISE.match(text) or _EDGE.match(text) or _REPEATED.match(text)):
            found.append(cut(line.rstrip()))
            if len(found) == count:
                break
    return found[::-1]
