"""The settings of a run: a YAML file, then WANDB_CONFIG, then `key=value` words, each over the one before.

>>> read(["steps=200", "model.hidden=128", "--seed", "3"], {}).model.hidden
128
"""

import difflib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Literal

import msgspec
import yaml

from ARR_COC.errors import SettingsError

Count = Annotated[int, msgspec.Meta(ge=1, le=10**9)]
Positive = Annotated[float, msgspec.Meta(gt=0, le=1e6)]
Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
View = Literal["information", "salience", "coupling"]


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of settings: no other keys than its fields."""


class Model(Table, frozen=True):
    patch: Annotated[int, msgspec.Meta(ge=2, le=64)] = 8
    """Pixels a side."""
    depth: Annotated[int, msgspec.Meta(ge=2, le=1024)] = 8
    """Tokens of a whole patch."""
    least: Count = 1
    """Tokens that every patch gets; the first one is its colour."""
    hidden: Count = 64
    dropout: Annotated[float, msgspec.Meta(ge=0, lt=1)] = 0.1
    softness: Positive = 0.7
    """Tokens over which the edge of an allocation is smeared for its gradient."""
    without: tuple[View, ...] = ()
    """Points of view to leave out, to see what they are worth."""


class Settings(Table, frozen=True):
    """What a run follows from. Same settings and same number of processes: same weights, to the bit."""

    output: str = "output"
    """A folder, or gs://BUCKET/FOLDER."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=2**31 - 1)] = 0
    steps: Count = 400
    """Optimizer steps of the whole run."""
    batch: Count = 64
    """Images an optimizer step, over all processes and parts."""
    accumulation: Count = 1
    """Parts that a process computes a step's images in."""
    lr: Positive = 2e-2
    warm_up: Annotated[int, msgspec.Meta(ge=0, le=10**9)] = 20
    """Steps in which the rate rises. With fewer than about ten, and the default rate, the head shuts itself and learns nothing."""
    weight_decay: Annotated[float, msgspec.Meta(ge=0)] = 0.01
    clip: Positive = 1.0
    """The longest gradient."""
    budget: tuple[Positive, Positive] = (1.125, 4.0)
    """Tokens a patch, on average over an image: the range that training draws from, evenly on a log scale."""
    explore: Share = 0.5
    """Share of the images that are trained on with a uniform allocation of any budget, so that the head reads anything."""
    precision: Literal["float32", "bf16"] = "float32"
    compile: bool = False
    deterministic: bool = True
    """Only kernels that give the same bits each time; without it a resumed run on a GPU may end otherwise."""
    data: str = "marks"
    """`marks`, which makes its own images, or a `datasets` folder or hub name."""
    images: Count = 16384
    """Of an epoch of `marks`."""
    side: Count = 64
    """Pixels a side that images of a data set are scaled to."""
    image: str = "image"
    query: str = "query"
    answer: str = "label"
    """The columns of a data set. One without the column `query` has one query."""
    workers: Annotated[int, msgspec.Meta(ge=0, le=256)] = 0
    """Processes that make batches, for each process that trains."""
    log_every: Count = 20
    save_every: Count = 100
    """Steps between checkpoints; the last step always has one."""
    keep: Count = 3
    """Checkpoints that stay."""
    held_out: Annotated[int, msgspec.Meta(ge=0, le=10**6)] = 512
    """Images of the evaluation at the end; 0 leaves it out."""
    evaluate_at: Positive = 1.25
    """Tokens a patch at which the result is told."""
    resume: bool = True
    """Go on from the newest checkpoint in `output`. Where it is off, `output` may hold none."""
    wandb: Literal["environment", "online", "offline", "off"] = "environment"
    """`environment`: what WANDB_MODE says, else offline."""
    project: str = "arr-coc"
    model: Model = Model()


FREE = {"output", "workers", "log_every", "save_every", "keep", "held_out", "evaluate_at", "resume", "wandb", "project"}
"""Settings that change no weights: a run may go on with others."""


class Yaml(yaml.SafeLoader):
    """YAML 1.2, in which `off`, `no` and a date (of a folder's name) are words: only `true` and `false` are neither."""


Yaml.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag != "tag:yaml.org,2002:timestamp" and (tag != "tag:yaml.org,2002:bool" or first in "tTfF")
    ]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read(words: Sequence[str], environment: Mapping[str, str]) -> Settings:
    """Settings from the command line's words and WANDB_CONFIG, by which W&B Launch hands a job its settings.

    Raises SettingsError. `--config FILE` names a YAML file; `key=value`, `--key=value`, `--key value` and `--flag` are settings.
    """
    file, given = _split(words)
    merged: dict[str, object] = {}
    for source, values in (
        (file, _file(file) if file else {}),
        ("WANDB_CONFIG", _from_wandb(environment.get("WANDB_CONFIG", ""))),
        ("the command line", {key: _value(text) for key, text in given}),
    ):
        for key, value in _flat(values):
            _check(key, source)
            _put(merged, key, value)
    try:
        settings = msgspec.convert(merged, Settings, strict=False)
    except msgspec.ValidationError as error:
        what, _, where = str(error).partition(" - at `$.")
        raise SettingsError(f"the setting {where.rstrip('`') or '(whole)'} is wrong: {what[0].lower()}{what[1:]}") from None
    return _consistent(settings)


def names(table: type[Table] = Settings, prefix: str = "") -> list[str]:
    """Every key, dotted: `seed`, `model.hidden`, ..."""
    found = []
    for field in msgspec.structs.fields(table):
        if isinstance(field.type, type) and issubclass(field.type, Table):
            found += names(field.type, f"{prefix}{field.name}.")
        else:
            found.append(f"{prefix}{field.name}")
    return found


def flat(settings: Settings) -> dict[str, object]:
    """Dotted keys and plain values, for records and comparison."""
    return dict(_flat(msgspec.json.decode(msgspec.json.encode(settings))))


def differences(before: Mapping[str, object], now: Mapping[str, object]) -> list[str]:
    """The keys that decide over weights and are not the same in both, sorted; each as `key: before, now`."""
    keys = sorted(key for key in before.keys() | now.keys() if key not in FREE)
    return [f"{key}: {before.get(key)} there, {now.get(key)} here" for key in keys if before.get(key) != now.get(key)]


def _split(words: Sequence[str]) -> tuple[str, list[tuple[str, str]]]:
    file, given, rest = "", [], list(words)
    while rest:
        word = rest.pop(0)
        key, equals, value = word.removeprefix("--").partition("=")
        if not equals and word.startswith("--"):
            # `--resume` alone is a flag: what follows it is no value of it where it is a setting itself.
            value = rest.pop(0) if rest and not rest[0].startswith("--") and "=" not in rest[0] else "true"
        elif not equals:
            raise SettingsError(f"'{word}' is no setting", "settings are written key=value or --key value")
        if key == "config":
            file = value
        else:
            given.append((key.replace("-", "_"), value))
    return file, given


def _file(name: str) -> object:
    try:
        return yaml.load(Path(name).read_text(encoding="utf-8"), Yaml) or {}
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{name} can't be read: {error}") from None
    except (yaml.YAMLError, ValueError) as error:  # ValueError: a number of thousands of digits
        raise SettingsError(f"{name} is no YAML: {' '.join(str(error).split())}") from None


def _from_wandb(text: str) -> object:
    """What WANDB_CONFIG holds of ours; a job's configuration may have keys of other programs."""
    try:
        values = json.loads(text or "{}")
    except ValueError:
        raise SettingsError("WANDB_CONFIG is no JSON") from None
    known = set(names())
    return {key: value for key, value in _flat(values) if key in known}


def _value(text: str) -> object:
    """A word as YAML reads it, so that `true`, `3` and `[1, 2]` are what they look like."""
    try:
        return yaml.load(text, Yaml)
    except (yaml.YAMLError, ValueError):
        return text


def _flat(values: object, prefix: str = "") -> Iterator[tuple[str, object]]:
    if not isinstance(values, Mapping):
        raise SettingsError(f"{prefix.rstrip('.') or 'the settings'}: keys and values are expected, as in `seed: 1`")
    for key, value in values.items():
        if isinstance(value, Mapping):
            yield from _flat(value, f"{prefix}{key}.")
        else:
            yield f"{prefix}{key}", value


def _check(key: str, source: str) -> None:
    known = names()
    if key not in known:
        nearest = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
        last = [name for name in known if name.rpartition(".")[2] == key.rpartition(".")[2]]
        hint = f"did you mean {(last or nearest)[0]}?" if last or nearest else f"there are: {', '.join(known)}"
        raise SettingsError(f"{source}: there is no setting '{key}'", hint)


def _put(merged: "dict[str, object]", key: str, value: object) -> None:
    *tables, last = key.split(".")
    for name in tables:
        table = merged.setdefault(name, {})
        assert isinstance(table, dict)  # _check: a table's name is no key
        merged = table
    merged[last] = value


def _consistent(settings: Settings) -> Settings:
    model, (low, high) = settings.model, settings.budget
    if (model.patch**2 - 1) % (model.depth - 1):
        divisors = [n + 1 for n in range(1, model.patch**2) if (model.patch**2 - 1) % n == 0]
        raise SettingsError(
            f"model.depth={model.depth} does not fit model.patch={model.patch}", f"it may be {', '.join(map(str, divisors))}"
        )
    if not model.least <= low <= high <= model.depth:
        raise SettingsError(
            f"budget={[low, high]} is no range of tokens a patch",
            f"from model.least={model.least} to model.depth={model.depth}, the lower end first",
        )
    if not model.least <= settings.evaluate_at <= model.depth:
        raise SettingsError(f"evaluate_at={settings.evaluate_at} is not between model.least and model.depth")
    if len(set(model.without)) > 2:
        raise SettingsError("model.without leaves no point of view", "name two of the three at most")
    return settings


def divided(settings: Settings, processes: int) -> int:
    """Images of one part. Raises SettingsError where a step's images can't be shared evenly."""
    parts = processes * settings.accumulation
    if settings.batch % parts:
        raise SettingsError(
            f"batch={settings.batch} can't be shared by {processes} processes in {settings.accumulation} parts each",
            f"a multiple of {parts}, such as {max(1, settings.batch // parts) * parts}",
        )
    return settings.batch // parts
