"""What every engine does, by the Protocol in arrstack.engines: shown on each engine that can be started here."""

import multiprocessing
import os
import pty
import re
import shutil
import signal
import tarfile
import time
import uuid
from collections.abc import Generator
from io import BytesIO
from pathlib import Path
from typing import TypeVar

import pytest

from arrstack.engines import Buildah, Docker, Engine, RunOptions, local_name
from arrstack.engines.local import bring
from arrstack.errors import BuildError, MachineError, RegistryError
from arrstack.launch.parallel import together
from arrstack.launch.setup import Setup
from arrstack.machine.folders import Folders
from arrstack.machine.process import Processes
from arrstack.model import Event, EventKind, content_id
from arrstack.registry import OciDirectory, Registry
from tests.contract.conftest import BASE, HOST_SECRET, Workshop, eventually, host_environment, processes_with

T = TypeVar("T")
FROM_BASE = "ARG BASE\nFROM ${BASE}\n"
STAGES = (
    "ARG BASE\nFROM ${BASE} AS builder\nRUN echo compiled >/wheel\n"
    "FROM scratch AS wheel\nCOPY --from=builder /wheel /wheel\n"
    "FROM ${BASE}\nCOPY --from=wheel /wheel /wheel\nCMD cat /wheel\n"
)


# -- building


def test_a_named_stage_can_be_built_alone_and_its_image_replaces_it_in_the_next_build(workshop: Workshop) -> None:
    wheel = workshop.build(workshop.step(STAGES.replace("compiled", "published"), target="wheel"))
    image = workshop.build(workshop.step(STAGES, contexts={"wheel": wheel.reference}))
    assert workshop.run(image.reference) == (0, ["published"])
    assert not [line for line in image.lines if "echo compiled" in line], "the stage behind the replaced one was built"


def test_a_folder_replaces_a_stage(workshop: Workshop, tmp_path: Path) -> None:
    folder = tmp_path / "wheels"
    folder.mkdir()
    (folder / "wheel").write_text("given\n")
    image = workshop.build(workshop.step(STAGES, contexts={"wheel": str(folder)}))
    assert workshop.run(image.reference) == (0, ["given"])


def test_a_mount_where_the_store_lies_on_this_machine_takes_nothing_from_the_image(workshop: Workshop) -> None:
    store = workshop.engine.cache.resolve() if isinstance(workshop.engine, Buildah) else workshop.folder.resolve()
    first = Path(*store.parts[:2])
    for target in (first, store, first / "bin"):
        image = workshop.build(
            workshop.step(FROM_BASE + f"RUN --mount=type=cache,id=c,target={target} echo kept >/kept\nCMD cat /kept\n")
        )
        assert workshop.run(image.reference) == (0, ["kept"]), target


def test_a_child_starts_from_the_reference_that_its_argument_names(workshop: Workshop) -> None:
    parent = workshop.build(workshop.step(FROM_BASE + "COPY file /file\n", {"file": "parent"}))
    child = workshop.build(workshop.step(FROM_BASE + "CMD cat /file\n", args={"BASE": parent.reference}))
    assert workshop.run(child.reference) == (0, ["parent"])


def test_build_arguments_and_labels_arrive(workshop: Workshop) -> None:
    recipe = FROM_BASE + "ARG GREETING=none\nRUN echo ${GREETING} >/greeting\nCMD cat /greeting\n"
    labels = {"io.arrstack.key": "k1", "io.arrstack.inputs": '{"a b": "c=d, \\"e\\""}'}
    image = workshop.build(workshop.step(recipe, args={"BASE": BASE, "GREETING": "hello, you"}, labels=labels))
    assert workshop.run(image.reference) == (0, ["hello, you"])
    assert labels.items() <= workshop.engine.config(image.reference)["config"]["Labels"].items()


def test_proxies_reach_build_steps_and_stay_out_of_the_image(workshop: Workshop) -> None:
    image = workshop.build(workshop.step(FROM_BASE + 'RUN test -n "$HTTP_PROXY"\n'))
    assert "proxy.invalid" not in str(workshop.engine.config(image.reference))


@pytest.mark.parametrize("bundle", ["TRUST-ME-AND-TELL-NOBODY", None])
def test_the_certificates_are_mounted_and_never_in_a_layer(workshop: Workshop, tmp_path: Path, bundle: str | None) -> None:
    certificates = tmp_path / "bundle.crt"
    certificates.write_text(f"{bundle}\n" if bundle else "")
    recipe = FROM_BASE + "RUN --mount=type=secret,id=ca cat /run/secrets/ca && cp /run/secrets/ca /tmp/copy && rm /tmp/copy\n"
    built = workshop.build(workshop.step(recipe, secrets={"ca": certificates} if bundle else {}))
    assert bundle is None or bundle in built.lines, "the step did not get them"
    registry = OciDirectory(tmp_path / "registry")
    registry.publish("image", "t", lambda to, compress: workshop.engine.push(built.reference, to, compress))
    for blob in (tmp_path / "registry/blobs/sha256").iterdir():
        assert (bundle or "no bundle").encode() not in unzipped(blob)


def unzipped(blob: Path) -> bytes:
    """A layer's files, one after the other; any other blob's bytes."""
    try:
        with tarfile.open(blob) as tar:
            return b"".join(file.read() for member in tar if (file := tar.extractfile(member)))
    except tarfile.ReadError:
        return blob.read_bytes()


def test_a_failing_command_is_named_with_its_status(workshop: Workshop) -> None:
    step = workshop.step(FROM_BASE + "RUN echo last words && exit 3\n")
    with pytest.raises(BuildError) as caught:
        workshop.build(step)
    assert "echo last words && exit 3" in caught.value.message
    assert re.search(r"status 3\b", caught.value.message)


def test_a_build_that_fails_outside_a_command_says_why(workshop: Workshop) -> None:
    with pytest.raises(BuildError) as caught:
        workshop.build(workshop.step(FROM_BASE + "COPY missing /\n"))
    assert "missing" in caught.value.message


def test_a_base_that_is_not_there_is_not_looked_for_elsewhere_for_long(workshop: Workshop) -> None:
    began = time.monotonic()
    with pytest.raises(BuildError):
        workshop.build(workshop.step(FROM_BASE, args={"BASE": "localhost/arrstack/never:built"}))
    assert time.monotonic() - began < 20


def test_lines_come_as_the_command_printed_them_and_the_log_holds_every_byte(workshop: Workshop) -> None:
    printed = ["[1/2] CXX a.o", "🔹CHONK: [70%] Compiled ♦️ Ruby", "  indented", "#5 not a prefix"]
    built = workshop.build(workshop.step(FROM_BASE + "COPY out /out\nRUN cat /out\n", {"out": "\n".join(printed) + "\n"}))
    first = built.lines.index(printed[0])
    assert built.lines[first : first + len(printed)] == printed
    logged = built.log.getvalue().decode().splitlines()
    assert [re.sub(r"^#\d+ \d+\.\d+ ", "", line) for line in logged] == built.lines


def test_lines_come_while_the_build_runs(workshop: Workshop) -> None:
    step = workshop.step(FROM_BASE + "RUN echo early && sleep 3 && echo late\n")
    lines = workshop.engine.build(step, "localhost/arrstack/early:1", BytesIO())
    when = {line: time.monotonic() for line in lines}
    assert when["late"] - when["early"] > 2


def test_a_cache_mount_is_found_where_the_build_put_it_and_filled_before_a_build(workshop: Workshop) -> None:
    """Whatever the engine's version calls its folder."""
    mount = "RUN --mount=type=cache,id=arrstack-x-${KEY},target=/c "
    fresh = f"{os.urandom(4).hex()}"
    step = workshop.step(FROM_BASE + "ARG KEY\n" + mount + "echo made >/c/file\n", args={"BASE": BASE, "KEY": fresh})
    workshop.build(step)
    if workshop.engine.name == "docker":
        with pytest.raises(MachineError, match="inside the Docker daemon"):
            workshop.engine.cache_mount(f"arrstack-x-{fresh}")
        return
    assert (workshop.engine.cache_mount(f"arrstack-x-{fresh}") / "file").read_text() == "made\n"
    before = workshop.engine.cache_mount("arrstack-x-before")
    before.mkdir(exist_ok=True)
    (before / "file").write_text("pulled")
    read = workshop.step(FROM_BASE + "ARG KEY\n" + mount + "cat /c/file\n", args={"BASE": BASE, "KEY": "before"})
    assert "pulled" in "".join(workshop.build(read).lines)


def test_two_builds_and_a_run_go_beside_each_other(workshop: Workshop) -> None:
    """With a cache mount that both have, as the compiler's is: they overlap, and each ends well."""
    script = (
        FROM_BASE
        + "RUN --mount=type=cache,id=beside,target=/c echo {0} began $(date +%s) && sleep 5 && echo {0} ended $(date +%s) && sleep 1\n"
    )  # a program that ends with its last line may lose it on a busy machine (docs/design/engines.md)
    ran = workshop.build(workshop.step(FROM_BASE + "CMD echo ran\n")).reference
    steps = [workshop.step(script.replace("{0}", name)) for name in ("one", "two")]

    def events(lines: Generator[str, None, T]) -> Generator[Event, None, T]:
        try:
            while True:
                yield Event(EventKind.LOG, "step", next(lines))
        except StopIteration as end:
            result: T = end.value
            return result

    builds = [events(workshop.engine.build(step, f"localhost/arrstack/beside:{i}", BytesIO())) for i, step in enumerate(steps)]
    running = events(workshop.engine.run(ran, ["sh", "-c", "echo ran; sleep 1"], {}, {}, None))
    told = [event.text for event in together([*builds, running], 3)]
    when = {match[1]: int(match[2]) for line in told if (match := re.fullmatch(r"(\w+ (?:began|ended)) (\d+)", line))}
    assert max(when["one began"], when["two began"]) < min(when["one ended"], when["two ended"])
    assert "ran" in told
    assert all(workshop.engine.has(f"localhost/arrstack/beside:{i}") for i in range(2))


def test_closing_the_generator_ends_the_build_and_all_its_processes(workshop: Workshop) -> None:
    word = f"7{uuid.uuid4().int % 10**8}"
    step = workshop.step(FROM_BASE + f"RUN (sleep {word} & sleep {word}) & echo begun && sleep {word}\n")
    lines = workshop.engine.build(step, "localhost/arrstack/closed:1", BytesIO())
    assert any(line == "begun" for line in lines)
    assert eventually(lambda: len(processes_with(f"sleep {word}")) >= 3)  # the last begins after the line that was read
    lines.close()
    assert eventually(lambda: not processes_with(word)), processes_with(word)
    assert not workshop.engine.has("localhost/arrstack/closed:1")
    assert not mounted_below(workshop)


def test_a_build_ends_with_the_process_that_started_it(workshop: Workshop) -> None:
    word = f"7{uuid.uuid4().int % 10**8}"
    step = workshop.step(FROM_BASE + f"RUN sleep {word}\n")
    child = multiprocessing.get_context("fork").Process(target=workshop.build, args=(step, "localhost/arrstack/killed:1"))
    child.start()
    try:
        assert eventually(lambda: any(line.startswith("sleep") for line in processes_with(word)))
    finally:
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
    assert eventually(lambda: not processes_with(word)), processes_with(word)
    assert not mounted_below(workshop)
    workshop.engine.tidy()
    assert workshop.run(workshop.build(workshop.step(FROM_BASE + "RUN true\n")).reference, "echo", "on") == (0, ["on"])


def mounted_below(workshop: Workshop) -> list[str]:
    """What the engine's client left mounted; BuildKit's mounts are its daemon's."""
    store = getattr(workshop.engine, "cache", workshop.folder)
    return [line for line in Path("/proc/self/mounts").read_text().splitlines() if str(store) in line]


def test_a_rebuild_comes_out_the_same(workshop: Workshop) -> None:
    if isinstance(workshop.engine, Docker) and not workshop.engine.daemon.rewrites:
        pytest.skip("the classic store keeps the dates that files got during the build: arrstack.engines.docker says so")
    recipe = FROM_BASE + "COPY file /file\nRUN mkdir /made && echo made >/made/file\nENV A=1\n"
    ids = []
    for name in ("first", "second"):
        built = workshop.build(workshop.step(recipe, {"file": "same"}), f"localhost/arrstack/{name}:1")
        ids.append(content_id(workshop.engine.config(built.reference)))
        time.sleep(1.1)  # a file's date has a second's resolution in a layer
    assert ids[0] == ids[1]


def test_another_content_has_another_id(workshop: Workshop) -> None:
    builds = [workshop.build(workshop.step(FROM_BASE + "COPY file /file\n", {"file": text})) for text in ("one", "two")]
    first, second = (content_id(workshop.engine.config(built.reference)) for built in builds)
    assert first != second


def test_the_config_is_the_images_own(workshop: Workshop) -> None:
    recipe = FROM_BASE + 'ENV A=1\nWORKDIR /tmp\nUSER 7\nEXPOSE 80\nENTRYPOINT ["echo"]\nCMD ["x"]\n'
    config = workshop.engine.config(workshop.build(workshop.step(recipe)).reference)
    run = config["config"]
    assert (config["os"], config["architecture"]) == ("linux", "amd64")
    assert "A=1" in run["Env"]
    assert (run["WorkingDir"], run["User"], run["Entrypoint"], run["Cmd"]) == ("/tmp", "7", ["echo"], ["x"])
    assert list(run["ExposedPorts"]) == ["80/tcp"]
    assert all(re.fullmatch(r"sha256:[0-9a-f]{64}", layer) for layer in config["rootfs"]["diff_ids"])


# -- running


def test_a_run_sees_what_is_named_and_nothing_else_of_the_host(workshop: Workshop) -> None:
    status, told = workshop.run(BASE, "env", env={"NAMED": "a b=c"})
    assert status == 0
    assert "NAMED=a b=c" in told
    assert not [line for line in told if HOST_SECRET in line or "proxy" in line.lower()]


def test_a_run_returns_the_programs_status_and_its_output(workshop: Workshop) -> None:
    assert workshop.run(BASE, "sh", "-c", "echo out; echo err >&2; sleep 0.1; exit 42") in (
        (42, ["out", "err"]),
        (42, ["err", "out"]),
    )


def test_a_command_that_is_not_there_is_a_failure_that_is_told(workshop: Workshop) -> None:
    status, told = workshop.run(BASE, "no-such-program")
    assert status != 0
    assert "no-such-program" in "\n".join(told)


def test_an_image_without_a_command_needs_one(workshop: Workshop) -> None:
    image = workshop.build(workshop.step(FROM_BASE + "CMD []\nENTRYPOINT []\n"))
    with pytest.raises(BuildError, match="no command"):
        workshop.run(image.reference)


def test_a_command_replaces_the_entry_point(workshop: Workshop) -> None:
    image = workshop.build(workshop.step(FROM_BASE + 'ENTRYPOINT ["echo", "own"]\nCMD ["default"]\n'))
    assert workshop.run(image.reference) == (0, ["own default"])
    assert workshop.run(image.reference, "echo", "given") == (0, ["given"])


def test_mounts_can_be_read_and_not_written(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "checks").mkdir()
    (tmp_path / "checks/file").write_text("read me\n")
    script = "cat /checks/file; (echo no >/checks/file) 2>/dev/null || echo refused"
    status, told = workshop.run(BASE, "sh", "-c", script, mounts={tmp_path / "checks": "/checks"})
    assert status == 0
    assert "read me" in told
    assert "refused" in told
    assert (tmp_path / "checks/file").read_text() == "read me\n"


def test_a_run_trusts_the_hosts_certificates(workshop: Workshop, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_text("trusted\n")
    script = "cat $SSL_CERT_FILE $PIP_CERT"
    assert workshop.run(BASE, "sh", "-c", script, certificates=tmp_path / "ca.crt") == (0, ["trusted"] * 2)


def test_what_a_run_changes_is_gone_afterwards(workshop: Workshop) -> None:
    assert workshop.run(BASE, "touch", "/tmp/left")[0] == 0
    assert workshop.run(BASE, "test", "-e", "/tmp/left")[0] == 1


def test_closing_a_run_ends_its_processes(workshop: Workshop) -> None:
    word = f"7{uuid.uuid4().int % 10**8}"
    lines = workshop.engine.run(BASE, ["sh", "-c", f"echo begun; sleep {word}; true"], {}, {}, None)
    assert next(lines) == "begun"
    lines.close()
    assert eventually(lambda: not processes_with(word)), processes_with(word)


def test_cleaning_up_after_killed_builds_lets_a_run_that_goes_on_be(workshop: Workshop) -> None:
    lines = workshop.engine.run(BASE, ["sh", "-c", "echo begun; sleep 2; echo ended"], {}, {}, None)
    assert next(lines) == "begun"
    workshop.engine.tidy()
    assert list(lines) == ["ended"]


def test_a_run_ends_with_the_process_that_started_it(workshop: Workshop) -> None:
    word = f"7{uuid.uuid4().int % 10**8}"
    child = multiprocessing.get_context("fork").Process(target=workshop.run, args=(BASE, "sh", "-c", f"sleep {word}; true"))
    child.start()
    try:
        assert eventually(lambda: any(line.startswith("sleep") for line in processes_with(word)))
    finally:
        os.kill(child.pid or 0, signal.SIGKILL)
        child.join()
    assert eventually(lambda: not processes_with(word)), processes_with(word)


def test_a_run_at_a_terminal_has_it_and_returns_the_status(workshop: Workshop) -> None:
    script = "test -t 0 && test -t 1 && echo ready && read word && echo got $word; exit 7"
    child, terminal = pty.fork()
    if not child:
        status = 99
        try:
            status = workshop.engine.attach(BASE, ["sh", "-c", script], RunOptions(terminal=True))
        finally:
            os._exit(status)
    told = b""
    try:
        while b"ready" not in told:
            told += os.read(terminal, 1024)
        os.write(terminal, b"hello\n")
        while True:
            told += os.read(terminal, 1024)
    except OSError:  # a terminal whose other end is closed: the run has ended
        pass
    _, status = os.waitpid(child, 0)
    os.close(terminal)
    assert b"got hello" in told
    assert os.waitstatus_to_exitcode(status) == 7


# -- the store


def test_an_image_comes_back_from_a_registry_as_it_went(workshop: Workshop, registry: Registry) -> None:
    engine = workshop.engine
    built = workshop.build(workshop.step(FROM_BASE + "COPY file /file\nCMD cat /file\n", {"file": "there\n"}, labels={"a": "b"}))
    image = registry.publish("tier", "key-1", lambda to, compress: engine.push(built.reference, to, compress))
    assert image.labels["a"] == "b"
    assert image.content_id == content_id(engine.config(built.reference))
    engine.remove(engine.images() - {BASE}, unnamed=True)
    name = local_name(image)
    assert not engine.has(built.reference)
    assert not engine.has(name)
    assert bring(image, registry, engine) == name
    assert engine.has(name)
    assert content_id(engine.config(name)) == image.content_id
    assert workshop.run(name) == (0, ["there"])
    child = workshop.build(workshop.step(FROM_BASE + "RUN cat /file\n", args={"BASE": name}))
    assert "there" in child.lines
    again = registry.publish("tier", "key-2", lambda to, compress: engine.push(name, to, compress))
    assert again.content_id == image.content_id


def test_an_image_that_is_not_there_cannot_be_pulled_or_pushed(workshop: Workshop, registry: Registry, tmp_path: Path) -> None:
    with pytest.raises(RegistryError, match="could not be pulled"):
        workshop.engine.pull(registry.reference("tier", "none"), "localhost/arrstack/tier:none")
    with pytest.raises(RegistryError, match="could not be pushed"):
        workshop.engine.push("localhost/arrstack/tier:none", registry.reference("tier", "none"), True)


def test_what_is_removed_is_what_was_named(workshop: Workshop) -> None:
    engine = workshop.engine
    kept, gone = (workshop.build(workshop.step(FROM_BASE + f"ENV A={name}\n")).reference for name in ("kept", "gone"))
    assert {BASE, kept, gone} <= engine.images()
    engine.remove(frozenset({gone}), unnamed=False)
    assert [engine.has(name) for name in (BASE, kept, gone)] == [True, True, False]
    engine.remove(frozenset({"localhost/arrstack/never:built"}), unnamed=False)
    assert engine.has(kept)


def test_a_root_file_system_becomes_an_image_and_comes_out_the_same(workshop: Workshop, rootfs: Path) -> None:
    engine, names = workshop.engine, [f"localhost/arrstack/imported:{n}" for n in (1, 2)]
    assert [engine.import_rootfs(rootfs, name) for name in names] == names
    assert workshop.run(names[0], "echo", "alive") == (0, ["alive"])
    first, second = (content_id(engine.config(name)) for name in names)
    assert first == second


# -- Docker alone


on_docker = pytest.mark.parametrize("engine", ["docker", "docker-classic"], indirect=True)


@pytest.fixture
def docker(engine: Engine) -> Docker:
    assert isinstance(engine, Docker)
    return engine


@on_docker
def test_docker_gives_images_a_short_name_and_takes_it_back(workshop: Workshop, docker: Docker) -> None:
    docker.remove(docker.images() - {BASE}, unnamed=True)
    built = workshop.build(workshop.step(FROM_BASE + "ENV A=1\n"), "localhost/arrstack/short:key-1")
    stage = workshop.build(workshop.step(STAGES, target="wheel"), "localhost/arrstack/staged:wheel-1")
    assert not docker.has("short:latest"), "a short name before anything was verified"
    docker.offer(built.reference)
    assert docker.has("short:latest")
    docker.processes.run(["docker", "tag", built.reference, "somebody/elses:name"])
    docker.remove(docker.images() - {BASE}, unnamed=True)
    left = [docker.has(name) for name in (built.reference, stage.reference, "short:latest", "somebody/elses:name")]
    assert left == [False, False, False, True]
    docker.processes.run(["docker", "rmi", "somebody/elses:name"])


@on_docker
def test_docker_need_not_pull_what_it_has_built_and_published(workshop: Workshop, docker: Docker, tmp_path: Path) -> None:
    built = workshop.build(workshop.step(FROM_BASE + "ENV A=2\n"), "localhost/arrstack/tier:key-1")
    image = OciDirectory(tmp_path / "r").publish("tier", "1", lambda to, compress: docker.push(built.reference, to, compress))
    assert docker.has(local_name(image))


@on_docker
def test_docker_without_a_daemon_says_so_and_what_to_do(tmp_path: Path, docker: Docker) -> None:
    environment = docker.processes.environment | {"DOCKER_HOST": f"unix://{tmp_path}/nobody"}
    with pytest.raises(MachineError, match="no Docker daemon answers") as caught:
        Docker(Processes(environment), tmp_path).version()
    assert "DOCKER_HOST" in caught.value.hint


@on_docker
def test_docker_without_buildx_says_so(tmp_path: Path, docker: Docker) -> None:
    environment = docker.processes.environment | {"DOCKER_CONFIG": str(tmp_path), "HOME": str(tmp_path)}
    with pytest.raises(MachineError, match="no buildx"):
        Docker(Processes(environment), tmp_path).version()


def test_a_docker_that_is_too_old_or_none_is_refused(tmp_path: Path) -> None:
    # Docker 20.10's answer, and that of another program by that name: what a daemon of that age says cannot be had here.
    for answer, expected in (('{"ServerVersion": "20.10.24+dfsg1"}', "too old: 20.10.24"), ("podman", "no Docker daemon")):
        program = tmp_path / "docker"
        program.write_text(f"#!/bin/sh\necho '{answer}'\n")
        program.chmod(0o755)
        with pytest.raises(MachineError, match=expected):
            Docker(Processes(host_environment(tmp_path) | {"PATH": f"{tmp_path}:/usr/bin:/bin"}), tmp_path).version()


# -- which engine is taken


def chosen(docker: Docker, folder: Path, wanted: str, *, buildah: str, daemon: bool) -> tuple[str, str]:
    """The engine that Setup takes on a machine whose programs are these: (name, reason)."""
    programs = folder / "programs"
    programs.mkdir()
    for name in ("bash", "mmdebstrap", "skopeo", "unshare"):
        (programs / name).symlink_to(shutil.which(name) or "")
    if buildah:
        (programs / "buildah").write_text(f"#!/bin/sh\necho buildah version {buildah}\n")
        (programs / "buildah").chmod(0o755)
    environment = docker.processes.environment
    path = f"{programs}:{':'.join(environment['PATH'].split(':')[:3])}:/bin-that-is-not-there"
    host = {} if daemon else {"DOCKER_HOST": f"unix://{folder}/nobody"}
    machine = Processes(environment | {"PATH": path} | host)
    folders = Folders(folder / "cache", folder / "state", folder / "data")
    engine, reason = Setup(machine, folders, lambda _: False, lambda _: None, allowed=False).engine(wanted)
    return engine.name, reason


@pytest.mark.parametrize("engine", ["docker"], indirect=True)
@pytest.mark.parametrize(
    ("wanted", "buildah", "daemon", "name", "reason"),
    [
        ("auto", "1.28.2", True, "buildah", "found here"),
        ("auto", "", True, "docker", "buildah is not installed"),
        ("auto", "1.19.0", True, "docker", "too old"),
        ("docker", "1.28.2", True, "docker", "as asked"),
    ],
)
def test_the_engine_is_buildah_where_it_works_else_a_docker_that_answers(
    docker: Docker, tmp_path: Path, wanted: str, buildah: str, daemon: bool, name: str, reason: str
) -> None:
    found, told = chosen(docker, tmp_path, wanted, buildah=buildah, daemon=daemon)
    assert found == name
    assert reason in told


@pytest.mark.parametrize("engine", ["docker"], indirect=True)
@pytest.mark.parametrize(("wanted", "expected"), [("auto", "lacks buildah"), ("docker", "no Docker daemon answers")])
def test_a_machine_without_an_engine_hears_what_it_lacks(docker: Docker, tmp_path: Path, wanted: str, expected: str) -> None:
    with pytest.raises(MachineError, match=expected):
        chosen(docker, tmp_path, wanted, buildah="", daemon=False)
