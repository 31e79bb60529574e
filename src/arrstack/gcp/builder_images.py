"""The images of others that a build in Google Cloud runs in, and whether their names say which they are: a tag may move.

for row in pins(used_by(root, [root / "Stack/arr-trainer/cloudbuild.yaml"])): ...
"""

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from arrstack.gcp.build_file import read
from arrstack.gcp.difference import Kind, Resource, Row, Verdict
from arrstack.recipes.dockerfile import parse
from arrstack.reference import DIGEST, TRANSPORT, plain_http

TAGGED = "--tag="
"""What a step of `docker build` calls the image that it makes."""
REASON = "every build runs in it; whoever may push to its tag decides what that is"


def used_by(root: Path, files: Iterable[Path]) -> dict[str, tuple[str, ...]]:
    """Each image that these cloudbuild.yaml take from a registry, as it is named there, and the files that name it, from `root`: themselves, and
    the Dockerfiles that their steps build. Raises ConfigError for a file that is none."""
    found: dict[str, list[str]] = {}
    for path in files:
        for name, named_in in images_of(root, path):
            places = found.setdefault(name, [])
            place = named_in.relative_to(root).as_posix()
            places += [place] if place not in places else []
    return {name: tuple(places) for name, places in found.items()}


def images_of(root: Path, path: Path) -> Iterator[tuple[str, Path]]:
    """The images that one file takes from a registry, and where each is named; not those that a step makes itself."""
    made = set[str]()
    for step in read(path).build["steps"]:
        if step["name"] not in made:
            yield step["name"], path
        if folder := built_folder(step):
            made |= {word.removeprefix(TAGGED) for word in step["args"] if word.startswith(TAGGED)}
            dockerfile = parse(root / folder / "Dockerfile")
            yield from ((stage.image, dockerfile.path) for stage in dockerfile.stages if stage.image not in ("", "scratch"))


def built_folder(step: Mapping[str, Any]) -> str:
    """The folder whose Dockerfile a step builds; '' of another step."""
    args = step.get("args") or [""]
    return str(args[-1]) if args[0] == "build" else ""


def pins(used: Mapping[str, tuple[str, ...]]) -> list[Row]:
    """A row for each image: in order where its name has a digest. The command of the others asks for it and writes it into the files."""
    return [pin(name, files) for name, files in used.items()]


def pin(name: str, files: tuple[str, ...]) -> Row:
    digest = name.rpartition("@")[2]
    asked = f"skopeo inspect {' '.join([*plain_http('--tls-verify', TRANSPORT + name), '--format'])} '{{{{.Digest}}}}' {TRANSPORT}{name}"
    written = "s#" + name.replace(".", r"\.") + r"\( \|$\)#" + name + r"@$digest\1#"
    command = f'digest=$({asked}) && sed -i "{written}" {" ".join(files)}'
    resource = Resource(Kind.BUILDER, name, REASON, command)
    if DIGEST.fullmatch(digest):
        return Row(resource, Verdict.OK)
    return Row(resource, Verdict.UNPINNED, f"by its tag alone, in {', '.join(files)}")
