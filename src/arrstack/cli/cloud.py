"""`--engine cloudbuild`: what the flags and the stack file come to as a builder in Google Cloud."""

import getpass
import os
import re
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from arrstack.errors import ConfigError

if TYPE_CHECKING:
    from arrstack.cli.console import Output
    from arrstack.cli.session import BuildOptions, Session
    from arrstack.gcp.cloud_build import CloudBuild
    from arrstack.gcp.source import Archive
    from arrstack.model import BuildStep
    from arrstack.recipes.config import LoadedStack

POOL = re.compile(r"[a-z0-9-]{1,63}")
"""A private pool's name in its project and region (cloudbuild.projects.locations.workerPools.create, `workerPoolId`)."""
DEFAULT_POOL = "none"
"""For --worker-pool: Cloud Build's own machines."""
IMAGE = "image"
"""The part of a tier's cloudbuild.yaml that is its image (`Launch.part`)."""
ENTRY = Path("CLI/cli.py")
BUILD_FILE = "cloudbuild.yaml"
"""Of a tier's recipe."""
STACK = "stack.toml"
"""What a build there reads where its file names no other."""
PARALLEL_BUILDS = 4
"""Builds at once: each has a machine of its own, and quotas are small."""


def cloud_builder(session: "Session", options: "BuildOptions", jobs: str, out: "Output") -> "CloudBuild":
    """The builder. `jobs` is a number or `auto`, which the machine there decides.

    Raises ConfigError where something is asked for that a build there cannot know of, MachineError without a login.
    """
    from arrstack.gcp.api import Api
    from arrstack.gcp.bucket import Bucket
    from arrstack.gcp.builds import Builds
    from arrstack.gcp.cloud_build import CloudBuild

    refuse(session, options)
    names = session.google
    api = Api(names.project, session.environment, out.say)
    bucket = Bucket(api, names.staging_bucket, names.region)
    substitutions = {
        "_MACHINE": machine_of(session)[0],
        "_MAX_JOBS": jobs,
        "_PROFILE": session.stack.profile_name,
        "_REGION": names.region,
        "_REGISTRY": session.place_of_registry,
        "_TAG": session.options.tag,
    }
    pool = pool_of(session)

    def order(step: "BuildStep") -> Mapping[str, Any]:
        return ordered(session, step.name, substitutions, "" if pool == DEFAULT_POOL else f"{names.location}/workerPools/{pool}")

    def cancel(question: str) -> bool:
        return session.options.yes or out.ask(question)

    out.say(
        f"engine: cloudbuild, project {names.project}, {names.region}, {'its own machines' if pool == DEFAULT_POOL else f'pool {pool}'}"
    )
    return CloudBuild(
        Builds(api, names.location), bucket, session.registry, order, lambda: packed(session), cancel, owner(datetime.now(UTC))
    )


def pool_of(session: "Session") -> str:
    """The private pool's name, or DEFAULT_POOL. Raises ConfigError."""
    pool = session.options.worker_pool or session.stack.stack.cloud.pool
    if not POOL.fullmatch(pool):
        raise ConfigError(f"'{pool}' is no name of a pool", "give its name alone, such as arr-coc-pool, or none")
    return pool


def machine_of(session: "Session") -> tuple[str, bool]:
    """The type of the machines that build, and whether they are a private pool's."""
    from arrstack.gcp.prices import DEFAULT_MACHINE

    return (DEFAULT_MACHINE, False) if pool_of(session) == DEFAULT_POOL else (session.stack.stack.cloud.machine, True)


def refuse(session: "Session", options: "BuildOptions") -> None:
    """What only a build on this machine can do."""
    for given, flag in (
        (options.wheels, "--wheels"),
        (options.force, "--force"),
        (options.compile_plan != "auto", "--compile-plan"),
        (options.only, "--only"),
        (options.record, "--record"),
        (session.options.base_image, "--base-image"),
    ):
        if given:
            raise ConfigError(f"{flag} with --engine cloudbuild, whose builds do not know of it", "build on this machine with it")
    if not session.place_of_registry or session.registry_is_here:
        raise ConfigError(
            f"a build in the cloud cannot publish to {session.place_of_registry}", "--registry google, or HOST[:PORT][/PREFIX]"
        )


def ordered(session: "Session", step: str, substitutions: Mapping[str, str], pool: str) -> dict[str, Any]:
    """The build of a launch's step, by its tier's cloudbuild.yaml: `TIER/WHEEL`, or `TIER` for the image.

    Raises ConfigError for a file that is none, or that builds another stack file.
    """
    from arrstack.gcp.build_file import read

    tier, _, wheel = step.partition("/")
    file = read(session.stack.root / session.stack.tier(tier).recipe / BUILD_FILE)
    known = file.build.get("substitutions", {})
    build = file.filled({name: value for name, value in substitutions.items() if name in known}, [wheel or IMAGE], pool)
    inside = session.stack.path.relative_to(uploaded(session.stack)).as_posix()
    if inside != STACK and f"ARRSTACK_STACK={inside}" not in build.get("options", {}).get("env", []):
        raise ConfigError(f"{file.path} builds {STACK}, not {inside}", f"its options.env wants - ARRSTACK_STACK={inside}")
    return build


def uploaded(stack: "LoadedStack") -> Path:
    """The folder that a build there gets: the nearest one around the stack file that holds the product. Raises ConfigError."""
    for folder in stack.path.parents:
        if (folder / ENTRY).is_file():
            return folder
    raise ConfigError(
        f"{stack.path} is not in a project that can be built elsewhere",
        f"a build there runs {ENTRY}, of a folder around the stack file, which is uploaded",
    )


def packed(session: "Session") -> "Archive":
    """The project's files, as a build there reads them. Raises ConfigError where the stack file is not among them."""
    from arrstack.gcp import upload
    from arrstack.gcp.source import pack

    root = uploaded(session.stack)
    files = upload.files(root)
    if session.stack.path.relative_to(root) not in files:
        raise ConfigError(f"{session.stack.path} would not be uploaded", f"{root / upload.IGNORE_FILE} says what is")
    session.folders.cache.mkdir(mode=0o700, parents=True, exist_ok=True)
    return pack(root, files, session.folders.cache / f"source-{os.getpid()}-{os.urandom(4).hex()}.tar.gz")


def owner(now: datetime) -> str:
    """Who launches, for the others: a name that no other launch has."""
    return f"{getpass.getuser()}@{socket.gethostname()}, process {os.getpid()} of {now:%Y-%m-%d %H:%M:%S} UTC"
