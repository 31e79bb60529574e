"""What flows between the parts: frozen data, no behaviour beyond what the data itself implies."""

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

import msgspec

LABEL_INPUTS = "io.arrstack.inputs"
LABEL_KEY = "io.arrstack.key"
LABEL_WHEELS = "io.arrstack.wheels"
LABEL_COMPILED = "io.arrstack.compiled"
LABEL_CREATED = "org.opencontainers.image.created"
"""Image labels: the inputs tree as JSON, the key, a note where the wheels were not compiled here, what was compiled from which
source as JSON (the images above inherit it), when it was built."""
LABEL_CHECKS = "io.arrstack.checks"
"""The digest of the tier's checks that an image passed before it was published; '' for none."""
LABEL_VERSION = "org.opencontainers.image.version"
LABEL_ARCHS = "io.arrstack.archs"
"""Labels of a published wheel: its version, and the GPU architectures that it was compiled for, separated by blanks."""
EPOCH = 1735689600
"""2025-01-01, in seconds: the date of every file in a layer, so that no checkout's or build's times reach an image."""


def sha256(text: str) -> str:
    """Hex digest of a text in UTF-8, and of bytes that are none as Python holds them (PEP 383)."""
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()


def short(digest: str) -> str:
    """The part of a digest that a person reads: twelve hex digits."""
    return digest.removeprefix("sha256:")[:12]


@dataclass(frozen=True)
class Inputs:
    """The hash tree over what is a tier's own. A leaf's name begins with its stage where it belongs to one:
    `toolchain/file build/common/lib.sh`; the value is the content itself where that is short, else its digest."""

    leaves: Mapping[str, str]

    @property
    def digest(self) -> str:
        return sha256(json.dumps(sorted(self.leaves.items()), ensure_ascii=False))


@dataclass(frozen=True)
class Change:
    """One leaf that two trees do not agree on; None where a tree lacks it."""

    leaf: str
    old: str | None
    new: str | None

    @property
    def kind(self) -> str:
        return "added" if self.old is None else "removed" if self.new is None else "changed"


class State(StrEnum):
    PRESENT = "present"
    ABSENT = "absent"
    UNKNOWN = "unknown"


class Action(StrEnum):
    REUSE = "reuse"
    REBUILD = "rebuild"
    FOLLOWS = "follows"


@dataclass(frozen=True)
class Image:
    """A published image. `digest` is its manifest's, `config_digest` the config blob's (an engine's image id)."""

    repository: str
    digest: str
    config_digest: str
    content_id: str
    labels: Mapping[str, str]
    created: str
    size: int

    @property
    def inputs(self) -> Inputs | None:
        """The inputs tree in its label; None where the label is missing or is not ours."""
        try:
            return Inputs(msgspec.json.decode(self.labels.get(LABEL_INPUTS, "null"), type=dict[str, str]))
        except (ValueError, RecursionError):
            return None


@dataclass(frozen=True)
class Compiled:
    """A wheel that was compiled here: from which source, held by which pin, under which compile key, for which GPUs.

    `source` is as stack.toml has it: `git URL REF`, `debian PACKAGE VERSION`, `orig FILE`. `pin` is a commit or a SHA-256.
    """

    distribution: str
    version: str
    source: str = ""
    pin: str = ""
    key: str = ""
    architectures: str = ""


def compiled_label(compiled: Iterable[Compiled]) -> str:
    """What an image says of its compiled wheels, as the text of LABEL_COMPILED."""
    return msgspec.json.encode(list(compiled)).decode()


def compiled_in(labels: Mapping[str, str]) -> tuple[Compiled, ...]:
    """What an image's label says was compiled; nothing where the label is missing or is not ours."""
    try:
        return msgspec.json.decode(labels.get(LABEL_COMPILED, "[]"), type=tuple[Compiled, ...])
    except (ValueError, RecursionError):
        return ()


@dataclass(frozen=True)
class Answer:
    """What a registry says of one tag. Unknown is never treated as absent: it neither starts nor skips a compile."""

    state: State
    image: Image | None = None
    reason: str = ""
    remedy: str = ""
    """What a person can do, where it is not the connection or the login."""


Lookup = Callable[[str, str], Answer]
"""(repository, tag) -> Answer"""


CONFIG_KEYS = (
    "Env",
    "Entrypoint",
    "Cmd",
    "User",
    "WorkingDir",
    "ExposedPorts",
    "Volumes",
    "Shell",
    "OnBuild",
    "StopSignal",
    "Healthcheck",
)


def table(config: Mapping[str, object], key: str) -> Mapping[str, object]:
    """A table of an image's config; empty where there is none."""
    value = config.get(key)
    return value if isinstance(value, dict) else {}


def content_id(config: Mapping[str, object]) -> str:
    """What an image *is*, from its OCI config (image-spec 1.1, config.md): the layers' diff IDs and what the config
    does at run time and to what is built on it. Dates, history and labels are left out, so a rebuild that came out the same
    has the same id."""
    run = table(config, "config")
    kept = {key: run[key] for key in CONFIG_KEYS if run.get(key)}
    layers = table(config, "rootfs").get("diff_ids") or []
    platform = [config.get("os"), config.get("architecture"), config.get("variant")]
    return sha256(json.dumps([platform, layers, kept], sort_keys=True))


@dataclass(frozen=True)
class BuildStep:
    """One engine build: of a tier's image, or of one of its published stages (`target`)."""

    name: str
    context: Path
    dockerfile: Path
    args: Mapping[str, str]
    target: str = ""
    contexts: Mapping[str, str] = field(default_factory=dict)
    """Named build contexts: a stage's name -> the engine's reference of the image, or the folder's absolute path, that
    replaces it."""
    labels: Mapping[str, str] = field(default_factory=dict)
    secrets: Mapping[str, Path] = field(default_factory=dict)
    """Files that the build may read and that are no input, by the id of their `--mount=type=secret`."""
    cache_mounts: tuple[str, ...] = ()
    """The ids of the cache mounts that its instructions name."""
    mount_targets: tuple[str, ...] = ()
    """Where mounts of any kind stand in it."""


class EventKind(StrEnum):
    PHASE = "phase"
    PROGRESS = "progress"
    MARKER = "marker"
    WARNING = "warning"
    LOG = "log"
    DONE = "done"


@dataclass(frozen=True)
class Event:
    """One thing that happened during a step. `percent` is of the step; `edges` is (finished, all) of ninja's; `seconds` are
    since the step began, `remaining` the estimate until its end."""

    kind: EventKind
    step: str
    text: str = ""
    percent: float | None = None
    edges: tuple[int, int] | None = None
    seconds: float | None = None
    remaining: float | None = None


Events = Iterator[Event]
