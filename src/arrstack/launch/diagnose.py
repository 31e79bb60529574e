"""Pure: a failed build's log -> its cause and a remedy."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Diagnosis:
    """`line` is the line of the log that tells, `number` its place (from 1)."""

    cause: str
    remedy: str
    line: str
    number: int


@dataclass(frozen=True)
class Pattern:
    expression: re.Pattern[str]
    cause: str
    remedy: str


def pattern(expression: str, cause: str, remedy: str) -> Pattern:
    return Pattern(re.compile(expression, re.IGNORECASE), cause, remedy)


# The first entry that a line of the log fits decides: from the certain to the general. {0}, {1} are the expression's groups.
KNOWN = (
    pattern(
        r"no space left on device|disk quota exceeded",
        "the disk is full",
        "`arrstack prune` removes what nothing needs; the preflight's figures say how much a build takes",
    ),
    pattern(
        r"killed signal terminated program|unable to execute command: killed|virtual memory exhausted|cannot allocate memory|oom-kill|out of memory: killed",
        "the kernel ended a compiler: the machine ran out of memory",
        "fewer jobs at a time: `--jobs N` (MAX_JOBS=N by hand), about 1.5 GB for each C++ job and 4 GB for each CUDA job",
    ),
    pattern(
        r"context deadline exceeded|build timed out|^\s*TIMEOUT\b|ERROR: build step .* timed? ?out|DEADLINE_EXCEEDED",
        "the build ran into its time limit",
        "more jobs (MAX_JOBS, default 4; 176 on a c3-standard-176 takes 10 to 15 minutes), or a longer limit; a new launch resumes the compile",
    ),
    pattern(
        r"compatibility with cmake < 3\.5 has been removed",
        "a CMakeLists.txt asks for a CMake below 3.5, which CMake 4 refuses",
        "the CMake patch did not reach it: find `patch_cmake:` in the log and compare its ledger with /opt/pytorch/third_party/protobuf/cmake/CMakeLists.txt",
    ),
    pattern(
        r"cmake ([\d.]+) or higher is required\.\s+you are running version ([\d.]+)",
        "CMake {1} is older than the {0} that a CMakeLists.txt asks for",
        "take a newer CMake below 4 (the profile's TOOLCHAIN_PIP can pin one); the CMake patch never raises a minimum above 3.5",
    ),
    pattern(
        r"(lib(?:cudnn|cublas|cufft|cupti|curand|cusolver|cusparse|nccl|nvrtc|cudart)[\w.-]*): cannot open shared object file",
        "{0} is not in the image",
        "the runtime stage must stand on the cuDNN runtime base; CUPTI is in the devel base alone, so a build that uses it must ship it",
    ),
    pattern(
        r"(\S+\.so[\w.]*): cannot open shared object file",
        "the shared library {0} is missing",
        "its package belongs to the profile's RUNTIME_PACKAGES; the build record lists the packages that were found",
    ),
    pattern(
        r"ModuleNotFoundError: No module named '([\w.]+)'",
        "Python finds no module {0}",
        "check PYTHONPATH in the image, and that the module's package is in the tier's lock",
    ),
    pattern(
        r"ImportError: (.*)",
        "an import failed: {0}",
        "check that PYTHONPATH and the base image are the ones that the wheel was built for",
    ),
    pattern(
        r"THESE PACKAGES DO NOT MATCH THE HASHES",
        "a downloaded package is not the one that the lock pins",
        "if the lock is right, somebody changed the package on its way: do not build; else make the lock anew",
    ),
    pattern(
        r"error: (.* is not the (?:file|commit) that stack\.toml pins.*)",
        "{0}",
        "compare the pin with its maker's own list; something else under an old name is a reason to stop",
    ),
    pattern(r"error: (cannot fetch .*)", "{0}", "choose a version that the archive holds, and its pin, in stack.toml"),
    pattern(
        r"E: Version '([^']*)' for '([^']*)' was not found",
        "the archive no longer holds {1} {0}",
        "`arrstack launch --refresh` moves the archive's date",
    ),
    pattern(
        r"E: Unable to locate package (\S+)",
        "the archive has no package {0}",
        "check the profile's package list against its suite",
    ),
    pattern(
        r"CERTIFICATE_VERIFY_FAILED|certificate verify failed|unable to get local issuer certificate",
        "a server's certificate is not trusted",
        "name your network's bundle in SSL_CERT_FILE: it is mounted into the build",
    ),
    pattern(
        r"temporary failure (?:in name resolution|resolving)|could not resolve host|name or service not known|network is unreachable|failed to establish a new connection|could not connect to",
        "the network, or its name server, cannot be reached",
        "check the connection and the proxy's variables; a new launch goes on where this one stopped",
    ),
    pattern(
        r"^FAILED: (?:\[code=\d+\] )?(\S+)",
        "{0} does not compile",
        "its compiler's message follows that line; `--compile-plan none` tells whether the compile plan has to do with it",
    ),
    pattern(r"^((?:/|\w)[\w/.+-]*:\d+:\d+: (?:fatal )?error: .*)", "{0}", "the compiler's message says what it did not accept"),
    pattern(r"^CMake Error at (.*)", "CMake stopped at {0}", "its message follows that line"),
    pattern(r"^error: (?!building at STEP)(.*)", "{0}", ""),
)


BUILDKIT = re.compile(r"^#\d+ \d+\.\d+ ")
"""What stands before a step's own lines in the log of BuildKit (`--progress=plain`): step and seconds."""


def diagnose(lines: Iterable[str]) -> Diagnosis | None:
    """The most certain known cause in a log, at its first mention; None where none is known."""
    best: tuple[int, Diagnosis] | None = None
    for number, raw in enumerate(lines, 1):
        line = BUILDKIT.sub("", raw)
        for rank, known in enumerate(KNOWN):
            if best and rank >= best[0]:
                break
            if match := known.expression.search(line):
                groups = match.groups()
                best = rank, Diagnosis(known.cause.format(*groups), known.remedy, line.strip(), number)
    return best[1] if best else None


NOISE = re.compile(
    r"^\s*$|^subprocess exited with status|^\[\d+/\d+\] |^(?:Get|Hit|Ign):\d+ |^(?:Selecting|Preparing|Unpacking|Setting up|Processing) "
)


def useful_tail(lines: Sequence[str], count: int = 12) -> list[str]:
    """The last lines of a log that say something: no progress, no package manager's reports."""
    return [line for line in lines if not NOISE.match(BUILDKIT.sub("", line))][-count:]
