"""A tier's cloudbuild.yaml: the one statement of what Cloud Build does for it. `gcloud builds submit --config` reads it, and so does what
submits a build from here, which only fills it in.

    file = read(Path("Stack/arr-pytorch-base/cloudbuild.yaml"))
    file.filled({"_MAX_JOBS": "176"}, parts=["torch"], pool="projects/p/locations/us-central1/workerPools/arr-coc-pool")

The fields are those of google.devtools.cloudbuild.v1.Build (its JSON form).
"""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from arrstack.errors import ConfigError

WORKER = "worker"
"""The step that makes the image in which all others run."""
SUBSTITUTION = re.compile(r"_[A-Z0-9_]{1,98}")
USED = re.compile(r"\$\$|\$\{(_[A-Z0-9_]+)\}|\$(_[A-Z0-9_]+)")
"""A substitution of the user's in a text; `$$` is the shell's own `$`."""
OUTPUT_ONLY = frozenset(
    {"id", "projectId", "status", "statusDetail", "results", "createTime", "startTime", "finishTime", "logUrl", "timing"}
)
"""What only the service says: its message takes them, and nobody would notice."""


class NoDuplicates(yaml.SafeLoader):
    """YAML in which a key that stands twice is an error (YAML 1.2, 3.2.1.1), where PyYAML takes the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        names = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise yaml.constructor.ConstructorError(None, None, f"the key '{twice}' stands twice", node.start_mark)
        return super().construct_mapping(node, deep)


@dataclass(frozen=True)
class BuildFile:
    path: Path
    build: Mapping[str, Any]

    @property
    def parts(self) -> tuple[str, ...]:
        """The steps that a build may be made of, in their order: `torch`, `image`, `tag` and so on."""
        return tuple(step["id"] for step in self.build["steps"] if step["id"] != WORKER)

    def filled(
        self, substitutions: Mapping[str, str], parts: Sequence[str] = (), pool: str = "", tags: Sequence[str] = ()
    ) -> dict[str, Any]:
        """The build as it is submitted: these substitutions in place of the file's, these parts of it (default: all), on a private pool
        by its full name (default: Cloud Build's own machines), with tags besides the file's.

        Raises ConfigError for a substitution or a part that the file has not.
        """
        build: dict[str, Any] = json.loads(json.dumps(self.build))
        for kind, given, known in (("substitution", substitutions, build.get("substitutions", {})), ("part", parts, self.parts)):
            for name in given:
                if name not in known:
                    raise ConfigError(f"{self.path} has no {kind} '{name}'", f"it has: {', '.join(known)}")
        build["substitutions"] = {**build.get("substitutions", {}), **substitutions}
        if parts:
            build["steps"] = [step for step in build["steps"] if step["id"] in (WORKER, *parts)]
        if pool:  # machine and disk are the pool's
            options = {
                name: value for name, value in build.get("options", {}).items() if name not in ("machineType", "diskSizeGb")
            }
            build["options"] = {**options, "pool": {"name": pool}}
        build["tags"] = [*build.get("tags", []), *tags]
        return build


def read(path: Path) -> BuildFile:
    """Reads and checks a file as strictly as gcloud and the service do together. Raises ConfigError."""
    try:
        build = yaml.load(path.read_text(encoding="utf-8"), NoDuplicates)
    except FileNotFoundError:
        raise ConfigError(f"there is no {path}", "each tier's recipe has one, for Cloud Build") from None
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {' '.join(str(error).split())}") from None
    if not isinstance(build, dict):
        raise ConfigError(f"{path} is no table of a build's fields", "cloud.google.com/build/docs/build-config-file-schema")
    for problem in problems(build):
        raise ConfigError(f"{path}: {problem}", "cloud.google.com/build/docs/build-config-file-schema")
    return BuildFile(path, build)


def problems(build: Mapping[str, Any]) -> Iterator[str]:
    """What Cloud Build or gcloud would refuse, or take without a word."""
    from google.cloud.devtools.cloudbuild_v1 import Build
    from google.protobuf import json_format

    if told := OUTPUT_ONLY.intersection(build):
        yield f"'{min(told)}' is the service's to say"
    if "source" in build:
        yield "gcloud takes no 'source': it uploads its own"
    try:
        json_format.ParseDict(dict(build), Build.pb(Build()))
    except json_format.ParseError as error:
        yield str(error)
        return
    steps = build.get("steps") or []
    if not steps:
        yield "it has no steps"
    if steps and not all(step.get("id") for step in steps):
        yield "a step has no id"
    substitutions = build.get("substitutions") or {}
    for name in substitutions:
        if not SUBSTITUTION.fullmatch(name):
            yield f"a substitution's name begins with _ and has capitals, digits and _ alone: {name}"
    used = set(names_used(build))
    for name in sorted(used - set(substitutions)):
        yield f"${{{name}}} has no default in substitutions"
    for name in sorted(set(substitutions) - used):
        yield f"the substitution {name} is used nowhere, which fails every build (substitutionOption MUST_MATCH)"


def names_used(value: Any) -> Iterator[str]:
    """The user's substitutions in all texts below a value."""
    if isinstance(value, str):
        yield from (found[1] or found[2] for found in USED.finditer(value) if found[1] or found[2])
    elif isinstance(value, Mapping):
        for key, each in value.items():
            if key != "substitutions":
                yield from names_used(each)
    elif isinstance(value, list):
        for each in value:
            yield from names_used(each)
