"""BuildKit somewhere else: a real engine in another network, reached over TCP with certificates of both sides, as buildx's builder of each kind."""

import io
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from arrstack.engines import Buildah
from arrstack.engines.buildkit import BuildKit, into_archive, step_flags
from arrstack.errors import BuildError, MachineError
from arrstack.machine.process import Processes
from arrstack.model import BuildStep
from tests.contract.conftest import BASE, Workshop, eventually, processes_with, started
from tests.tools.debian import unpacked
from tests.tools.dockerd import PACKAGES, Elsewhere, NoDaemon, dockerd_elsewhere

RUNS = "ARG BASE\nFROM ${BASE}\n"


@dataclass(frozen=True)
class Far:
    """Builders elsewhere, each by its name, and a client's environment that knows them."""

    elsewhere: Elsewhere
    environment: Mapping[str, str]

    def docker(self, *words: str) -> str:
        return subprocess.run(["docker", *words], env=dict(self.environment), capture_output=True, text=True, check=True).stdout


@pytest.fixture(scope="module")
def far(downloads: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Far]:
    if os.geteuid():
        pytest.skip("a network and a daemon of its own need root")
    folder = tmp_path_factory.mktemp("certificates")
    try:
        with dockerd_elsewhere(downloads, folder) as there:
            # The client's own daemon is one that nobody started.
            made = Far(there, {**there.environment, "DOCKER_HOST": f"unix://{folder}/none"})
            ca, certificate, key = (f"{folder}/{name}" for name in ("ca.crt", "client.crt", "client.key"))
            tls = f"ca={ca},cert={certificate},key={key}"
            made.docker("context", "create", "context", "--docker", f"host=tcp://{there.address}:2376,{tls}")
            Path(there.environment["DOCKER_CONFIG"], "config.json").write_text(
                "{}"
            )  # buildah 1.28 wants one where the variable is set
            options = f"cacert={ca},cert={certificate},key={key}"
            create = ["buildx", "create", "--name", "remote", "--driver", "remote", "--driver-opt", options]
            made.docker(*create, f"tcp://{there.address}:2377")
            yield made
    except NoDaemon as error:
        pytest.skip(f"no Docker daemon starts elsewhere: {error}")


@pytest.fixture(scope="module")
def store(rootfs: Path, downloads: Path) -> Iterator[object]:
    """This machine's engine, which has the base image. The builders have nothing."""
    with started("buildah", rootfs, downloads) as made:
        yield made


@pytest.fixture(params=["context", "remote"])
def builder(request: pytest.FixtureRequest, far: Far, store: object, tmp_path: Path) -> BuildKit:
    """The same engine as a builder of each kind."""
    return BuildKit(Processes(far.environment), tmp_path / "cache", request.param, "host", store)  # type: ignore[arg-type]


def build(builder: BuildKit, workshop: Workshop, text: str, reference: str, **fields: object) -> str:
    log = io.BytesIO()
    lines = builder.build(workshop.step(text, **fields), reference, log)  # type: ignore[arg-type]
    told = list(lines)
    assert told and log.getvalue()
    return "\n".join(told)


@pytest.fixture
def workshop(store: object, tmp_path: Path) -> Workshop:
    return Workshop(store, tmp_path)  # type: ignore[arg-type]


def test_a_step_is_built_there_on_images_of_the_store_here(builder: BuildKit, workshop: Workshop, tmp_path: Path) -> None:
    assert builder.version().startswith(f"buildx {builder.builder} (")
    wheel, image = (f"localhost/arrstack/{builder.builder}:{name}" for name in ("wheel", "image"))
    told = build(builder, workshop, f"{RUNS}COPY w /w\nRUN cat /w && echo '[1/2] a.o'", wheel, files={"w": "of the context\n"})
    assert "of the context" in told and "\n[1/2] a.o" in told, "as it was written, without BuildKit's own prefix"
    secret = tmp_path / "secret"
    secret.write_text("only for the build")
    text = "ARG BASE\nFROM scratch AS made\nFROM ${BASE}\nCOPY --from=made /w /w\nRUN --mount=type=secret,id=s test -s /run/secrets/s"
    build(builder, workshop, text, image, contexts={"made": wheel}, secrets={"s": secret}, labels={"a": "b"})
    assert workshop.run(image, "cat", "/w") == (0, ["of the context"])
    config = builder.store.config(image)["config"]
    assert isinstance(config, dict) and config["Labels"]["a"] == "b"


def test_a_step_that_fails_is_named(builder: BuildKit, workshop: Workshop) -> None:
    with pytest.raises(BuildError, match=r"the build failed at: .*exit 7.*status 7"):
        build(builder, workshop, f"{RUNS}RUN exit 7", "localhost/arrstack/failing:x")
    assert not builder.store.has("localhost/arrstack/failing:x")


def test_a_build_that_is_ended_here_is_ended_there(builder: BuildKit, workshop: Workshop) -> None:
    word = f"{31_000_000 + os.getpid()}"
    lines = builder.build(workshop.step(f"{RUNS}RUN sleep {word}"), "localhost/arrstack/ended:x", io.BytesIO())
    assert eventually(
        lambda: bool(next(lines, "")) and any(f"sleep {word}" in each for each in processes_with(f"sleep {word}")), 60
    )
    lines.close()
    assert eventually(lambda: not [each for each in processes_with(f"sleep {word}") if each.startswith("sleep")])


def test_a_builder_that_is_not_there_is_said(far: Far, store: object, tmp_path: Path) -> None:
    builder = BuildKit(Processes(far.environment), tmp_path, "nobody", "default", store)  # type: ignore[arg-type]
    with pytest.raises(MachineError, match=r"builder nobody does not answer: .*no builder"):
        builder.version()


def test_the_same_step_comes_out_the_same(builder: BuildKit, workshop: Workshop) -> None:
    names = [f"localhost/arrstack/{builder.builder}-again:{number}" for number in (1, 2)]
    for name in names:
        build(builder, workshop, f"{RUNS}RUN echo a > /a", name)
    first, second = (builder.store.config(name)["rootfs"] for name in names)
    assert first == second
    assert builder.store.has(BASE)


CLUSTER = """apiVersion: v1
kind: Config
current-context: c
contexts: [{name: c, context: {cluster: k, user: u}}]
clusters: [{name: k, cluster: {server: "http://127.0.0.1:1"}}]
users: [{name: u, user: {}}]
"""


@pytest.fixture
def client(downloads: Path, tmp_path: Path) -> dict[str, str]:
    """The environment of a Docker client with buildx, whose cluster is one that nobody started."""
    root = unpacked(PACKAGES, "trixie", downloads)
    (tmp_path / "config/cli-plugins").mkdir(parents=True)
    (tmp_path / "config/cli-plugins/docker-buildx").symlink_to(root / "usr/libexec/docker/cli-plugins/docker-buildx")
    (tmp_path / "cluster").write_text(CLUSTER)
    paths = {"PATH": f"{root}/usr/bin:/usr/bin:/bin", "HOME": str(tmp_path), "KUBECONFIG": str(tmp_path / "cluster")}
    return {**paths, "DOCKER_CONFIG": str(tmp_path / "config"), "DOCKER_HOST": f"unix://{tmp_path}/none"}


def test_a_cluster_that_does_not_answer_is_said_in_its_own_words(client: dict[str, str], tmp_path: Path) -> None:
    create = ["docker", "buildx", "create", "--name", "pods", "--driver", "kubernetes", "--driver-opt", "namespace=builds"]
    subprocess.run(create, env=client, check=True, capture_output=True)
    builder = BuildKit(Processes(client), tmp_path, "pods", "default", None)  # type: ignore[arg-type]
    with pytest.raises(MachineError, match=r"builder pods does not answer: .*pods0.*connection refused"):
        builder.version()


def test_the_real_buildx_knows_every_flag_that_a_step_comes_to(client: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "secret").write_text("s")
    step = BuildStep(
        "tier", tmp_path, tmp_path / "Dockerfile", {"A": "1"}, "", {"made": str(tmp_path)}, {"a": "b"}, {"s": tmp_path / "secret"}
    )
    flags = ["--network", "host", *step_flags(step, tmp_path, step.contexts), *into_archive(tmp_path / "image.tar")]
    argv = ["docker", "buildx", "--builder", "nobody", "build", *flags, str(tmp_path)]
    done = subprocess.run(argv, env=client, capture_output=True, text=True, check=False)
    assert 'no builder "nobody" found' in done.stderr, "it has read the flags, and looks for the builder"


STACK = """default-profile = "p"
[[tiers]]
name = "low"
recipe = "low"
context = "low"
  [[tiers.wheels]]
  name = "w"
  stage = "w-wheel"
  distribution = "w"
  version-arg = "VERSION"
  key-arg = "KEY"
[[tiers]]
name = "high"
from = "low"
recipe = "high"
context = "high"
[profiles.p]
description = "busybox"
[profiles.p.bases]
BASE_RUNTIME = { method = "pull", image = "localhost/arrstack/base:busybox" }
[profiles.p.archive]
suite = "trixie"
date = "2026-01-01"
[profiles.p.args]
VERSION = "1.0"
[buildx]
builder = "remote"
network = "host"
"""
LOW = """ARG BASE_RUNTIME
FROM ${BASE_RUNTIME} AS builder
ARG VERSION
ARG KEY=by-hand
COPY w /w
FROM scratch AS w-wheel
COPY --from=builder /w /w
FROM ${BASE_RUNTIME}
COPY --from=w-wheel / /opt/
"""
HIGH = 'ARG BASE=low\nFROM ${BASE}\nRUN cat /opt/w > /seen\nCMD ["cat", "/seen"]\n'


def test_a_launch_builds_its_wheels_and_tiers_there_and_proves_and_publishes_them_here(
    far: Far, rootfs: Path, tmp_path: Path
) -> None:
    for name, text in {"stack.toml": STACK, "low/Dockerfile": LOW, "low/w": "a wheel\n", "high/Dockerfile": HIGH}.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    folders = {f"XDG_{kind}_HOME": str(tmp_path / kind.lower()) for kind in ("CACHE", "STATE", "DATA")}
    environment = {**far.environment, **folders, "HOME": str(tmp_path)}
    store = Buildah(Processes(environment), tmp_path / "cache/arrstack", True)
    store.version()
    store.import_rootfs(rootfs, BASE)

    def arrstack(*words: str) -> "subprocess.CompletedProcess[str]":
        argv = [sys.executable, "-m", "arrstack", "--yes", "--stack", str(tmp_path / "stack.toml"), *words]
        return subprocess.run(argv, env=environment, capture_output=True, text=True, timeout=200, check=False)

    done = arrstack("launch")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "builds: buildx remote (remote)" in done.stdout
    assert arrstack("run", "high").stdout == "a wheel\n"
    assert "nothing to build" in arrstack("launch").stdout
