"""The main job on the small stack: real buildah, real bases, a real compile, a real registry directory."""

import json
import os
import re
import runpy
import shutil
import subprocess
import sys
import sysconfig
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests.conftest import ROOT
from tests.fakes.google.cloud import google_cloud
from tests.fakes.google.tls import tls_proxy

TIERS = ["small-base", "small-tools", "small-app", "small-agent"]


@dataclass(frozen=True)
class Small:
    """A copy of the example, and caches, state and registry of its own."""

    tree: Path
    environment: dict[str, str]

    def run(self, *arguments: str, registry: Path | None = None, given: str = "") -> subprocess.CompletedProcess[str]:
        environment = self.environment | ({"ARRSTACK_REGISTRY": f"oci:{registry}"} if registry else {})
        command = [sys.executable, "-m", "arrstack", "--stack", str(self.tree / "stack.toml"), *arguments]
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=560, input=given)

    def ok(self, *arguments: str, registry: Path | None = None) -> str:
        done = self.run(*arguments, registry=registry)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def actions(self) -> list[str]:
        return [tier["action"] for tier in json.loads(self.ok("plan", "--json"))["tiers"]]

    def digests(self) -> dict[str, str]:
        return {tier["name"]: tier["digest"] for tier in json.loads(self.ok("status", "--json"))["tiers"]}

    def content(self, tier: str, registry: Path | None = None, tag: str = "latest") -> list[str]:
        """The diff IDs of a tier's layers, read by skopeo and not by the product."""
        where = registry or Path(self.environment["XDG_DATA_HOME"]) / "arrstack/registry"
        told = subprocess.run(
            ["skopeo", "inspect", "--config", f"oci:{where}:{tier}:{tag}"], check=True, capture_output=True, text=True
        ).stdout
        return list(json.loads(told)["rootfs"]["diff_ids"])


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Small:
    home = tmp_path_factory.mktemp("small")
    shutil.copytree(ROOT / "examples/small", home / "tree")
    environment = {k: v for k, v in os.environ.items() if not k.startswith("ARRSTACK_")}
    environment |= {f"XDG_{kind}_HOME": str(home / kind.lower()) for kind in ("CACHE", "STATE", "DATA")}
    made = Small(home / "tree", environment | {"PYTHONPATH": str(ROOT / "src"), "SECRET_OF_THE_HOST": "seen"})
    made.ok("launch")
    return made


@pytest.fixture
def restored(small: Small):  # type: ignore[no-untyped-def]
    """The small stack, whose tree and tags are what they were before once the test is over."""
    yield small
    shutil.rmtree(small.tree)
    shutil.copytree(ROOT / "examples/small", small.tree)
    small.ok("launch")  # that content was published before: only tags move


def test_all_tiers_are_published_and_nothing_is_left_to_do(small: Small) -> None:
    assert small.actions() == ["reuse"] * 4
    assert "nothing to build" in small.ok("launch")
    assert all(small.digests().values())


def test_by_profile_another_version_hits_what_sccache_compiled_into_the_bucket(restored: Small, tmp_path: Path) -> None:
    """The real sccache, whose one address of Cloud Storage leads to a server of this machine. A build directory is of one version alone."""
    stack = (restored.tree / "stack.toml").read_text()
    with google_cloud(tmp_path) as cloud, tls_proxy(cloud.google.address, tmp_path) as proxy:
        cloud.storage.make("my-project-arrstack-sccache")
        told = {
            **cloud.environment,
            "HTTPS_PROXY": proxy.address,
            "SSL_CERT_FILE": str(proxy.authority),
            "ARRSTACK_PROJECT": "my-project",
        }
        path = f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}"
        through = replace(restored, environment={**restored.environment, **told, "PATH": path, "ARRSTACK_PROFILE": "sccache"})
        for version, hits in (("2.1", 0), ("2.2", 4)):
            (restored.tree / "stack.toml").write_text(stack.replace('SHAPES_VERSION = "1.0"', f'SHAPES_VERSION = "{version}"'))
            lines = through.ok("launch", "small-base", "-v", registry=tmp_path / "registry")
            assert f"ARRSTACK cache: {hits} hits of 4" in lines
        assert "sccache keeps what it compiles in gs://my-project-arrstack-sccache" in through.ok("cache", "push")
    shown = {token for token in cloud.google.shown if token}
    assert shown and not any(token in lines for token in shown)


def test_the_images_run_and_see_no_variable_of_the_host(small: Small) -> None:
    assert small.ok("run", "small-app") == "42 tiles\n"
    assert small.ok("run", "small-agent", "--", "sh", "-c", "echo [$SECRET_OF_THE_HOST]") == "[]\n"
    assert (
        small.ok("run", "-e", "SECRET_OF_THE_HOST", "small-agent", "--", "sh", "-c", "echo [$SECRET_OF_THE_HOST]") == "[seen]\n"
    )
    assert small.run("run", "small-app", "--", "sh", "-c", "exit 7").returncode == 7


def test_what_was_built_runs_afterwards_by_one_option(small: Small) -> None:
    assert small.ok("launch", "--run").endswith(small.ok("run", "small-agent"))


def test_gpus_that_nobody_can_give_are_refused_before_anything_is_built(restored: Small) -> None:
    (restored.tree / "app/app.py").write_text("print('more')\n")
    refused = restored.run("--engine", "buildah", "launch", "--run", "--gpus", "all")
    assert (refused.returncode, "buildah hands no GPU" in refused.stderr) == (2, True), refused.stderr
    assert restored.actions() == ["reuse", "reuse", "rebuild", "follows"]


def test_a_comment_is_no_input_and_a_file_is(restored: Small) -> None:
    before = restored.digests()
    dockerfile = restored.tree / "tools/Dockerfile"
    dockerfile.write_text("# another comment\n" + dockerfile.read_text())
    assert restored.actions() == ["reuse"] * 4
    with (restored.tree / "app/app.py").open("a") as file:
        file.write("print('more')\n")
    assert restored.actions() == ["reuse", "reuse", "rebuild", "follows"]
    assert "changed image/file app.py" in restored.ok("why", "small-app")
    restored.ok("launch")
    after = restored.digests()
    assert [name for name in TIERS if before[name] != after[name]] == ["small-app", "small-agent"]
    assert restored.ok("run", "small-app") == "42 tiles\nmore\n"


def test_a_parent_that_comes_out_the_same_leaves_its_children_valid(restored: Small) -> None:
    before = restored.content("small-app")
    # Another instruction with the same effect: another key, the same content.
    dockerfile = restored.tree / "tools/Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("COPY tools.py ", "COPY ./tools.py "))
    assert restored.actions() == ["reuse", "rebuild", "follows", "follows"]
    told = restored.ok("launch")
    assert "small-tools: published" in told
    assert "small-app: reused" in told
    assert "small-agent: reused" in told
    assert restored.content("small-app") == before


def test_what_does_not_count_gives_the_same_content(restored: Small, tmp_path: Path) -> None:
    """The truth behind the keys: two real builds of a tree that differs in all that does not count."""
    for path in restored.tree.rglob("*"):
        os.utime(path, (1, 1))
        if path.is_file():
            path.chmod(path.stat().st_mode & 0o700)
    for tier in ("shapes", "tools", "app", "agent"):
        dockerfile = restored.tree / tier / "Dockerfile"
        dockerfile.write_text("# why\n\n" + dockerfile.read_text().replace("MAX_JOBS=2", "MAX_JOBS=1"))
    other = tmp_path / "registry"
    restored.ok("launch", registry=other)
    assert {t: restored.content(t, other) for t in TIERS} == {t: restored.content(t) for t in TIERS}


def test_a_change_of_the_image_does_not_compile_the_wheel_again(restored: Small) -> None:
    dockerfile = restored.tree / "shapes/Dockerfile"
    dockerfile.write_text(dockerfile.read_text().replace("PYTHONDONTWRITEBYTECODE=1", "PYTHONDONTWRITEBYTECODE=yes"))
    assert "wheel shapes exists: not compiled again" in restored.ok("plan")
    told = restored.ok("launch")
    assert "small-base: published" in told
    assert "small-base/shapes" not in told


WORDS = """ARG BASE_RUNTIME=debian:trixie
ARG BASE=small-base
FROM ${{BASE_RUNTIME}} AS words
RUN {command}
FROM ${{BASE}}
COPY tools.py /usr/lib/python3/dist-packages/tools.py
COPY --from=words /words /opt/words
"""


@pytest.mark.timeout(1200)  # with a base of its own
def test_what_does_not_stand_on_the_compile_is_done_beside_it_and_kept(restored: Small) -> None:
    recipe, source, tools = (restored.tree / path for path in ("tools/Dockerfile", "shapes/src/volume.cpp", "tools/tools.py"))
    recipe.write_text(WORDS.format(command="mkdir /words && echo early >/words/word"))
    source.write_text(source.read_text() + "int another_object() { return 1; }\n")
    stack = restored.tree / "stack.toml"  # a base that is not there yet, which both want at once
    stack.write_text(stack.read_text().replace('"python-is-python3"]', '"python-is-python3", "hello"]'))
    events = [json.loads(line) for line in restored.ok("launch", "--json").splitlines()]
    told = [(event["step"], event["text"].partition(" ")[0]) for event in events if event["text"]]
    assert told.index(("small-tools/words", "built")) < told.index(("small-base", "published"))
    assert "early" in restored.ok("run", "small-tools", "--", "cat", "/opt/words/word")

    restored.ok("prune")
    tools.write_text(tools.read_text() + "ANOTHER = 1\n")
    events = [json.loads(line) for line in restored.ok("launch", "--json").splitlines()]
    assert "small-tools" in {event["step"] for event in events}
    assert "small-tools/words" not in {event["step"] for event in events}


def test_what_fails_beside_the_compile_does_not_cost_the_compile(restored: Small) -> None:
    recipe, source = restored.tree / "tools/Dockerfile", restored.tree / "shapes/src/volume.cpp"
    before = restored.digests()
    recipe.write_text(WORDS.format(command="echo no such host; exit 7"))
    source.write_text(source.read_text() + "int one_more_object() { return 1; }\n")
    done = restored.run("launch")
    assert done.returncode == 1
    assert "will be tried again in its turn" in done.stdout + done.stderr
    assert "no such host" in done.stderr
    actions = dict(zip(TIERS, restored.actions(), strict=True))
    assert actions["small-base"] == "reuse"
    assert restored.digests() == before, "a tag moved"


def test_what_one_machine_compiled_another_takes_from_the_registry(restored: Small) -> None:
    assert "to oci:" in restored.ok("cache", "push")
    assert "nothing to bring" in restored.ok("cache", "push")
    told = json.loads(restored.ok("cache", "stats", "--json"))
    assert told["entries"] == told["registry"]["entries"] >= 8  # an object and a manifest of each source
    assert (told["unpushed"], told["registry"]["missing_here"]) == (0, 0)

    folder = Path(told["folder"])
    shutil.rmtree(folder)  # as on a machine that has compiled nothing
    assert json.loads(restored.ok("cache", "pull", "--json"))["entries"] == told["entries"]
    stack = restored.tree / "stack.toml"
    stack.write_text(stack.read_text().replace('SHAPES_VERSION = "1.0"', 'SHAPES_VERSION = "1.1"'))
    launched = restored.ok("launch")
    assert "small-base/shapes" in launched.rpartition("small-agent: published")[2], "the chart of where the time went"
    assert json.loads(restored.ok("cache", "stats", "--json"))["entries"] == told["entries"], "something was compiled again"

    assert json.loads(restored.ok("cache", "prune", "--to", "0K", "--json"))["left"] == 0
    assert restored.run("cache", "prune", "--to", "much").returncode == 2


def test_wheels_by_hand_make_another_image_that_says_so(small: Small, tmp_path: Path) -> None:
    wheels, registry = tmp_path / "wheels", tmp_path / "registry"
    wheels.mkdir()
    tag = next(t for t in tags(small) if t.startswith("shapes-wheel-"))
    reference = f"oci:{small.environment['XDG_DATA_HOME']}/arrstack/registry:small-base:{tag}"
    told = small.ok("launch", "--wheels", reference, registry=registry)
    assert "small-base/shapes" not in told
    assert "prebuilt wheels, not compiled here" in small.ok("status", registry=registry)
    assert "prebuilt wheels" in small.ok("why", "small-base", registry=registry)
    plan = json.loads(small.ok("plan", "--json", registry=registry))
    assert plan["tiers"][0]["action"] == "rebuild", "a launch without them does not take what was made from them"
    (wheels / "shapes-9.9-py3-none-linux_x86_64.whl").write_bytes(b"x")
    wrong = small.run("launch", "--wheels", str(wheels), registry=registry)
    assert wrong.returncode == 2
    assert "is version 9.9; profile debian asks for shapes 1.0" in wrong.stderr


def tags(small: Small) -> list[str]:
    index = json.loads((Path(small.environment["XDG_DATA_HOME"]) / "arrstack/registry/index.json").read_text())
    names = [m["annotations"]["org.opencontainers.image.ref.name"] for m in index["manifests"]]
    return [name.partition(":")[2] for name in names if name.startswith("small-base:")]


def test_the_log_is_what_the_engine_wrote(small: Small) -> None:
    logs = sorted((Path(small.environment["XDG_STATE_HOME"]) / "arrstack/logs").glob("*small-base-shapes.log"))
    text = logs[0].read_text()
    assert "STEP 1/" in text
    assert re.search(r"^\[1/5\] .*ccache g\+\+", text, re.MULTILINE)
    assert "CHONK: [70%]" in text


def test_events_as_json_lines(restored: Small) -> None:
    with (restored.tree / "agent/start.sh").open("a") as file:
        file.write("# changed\n")
    events = [json.loads(line) for line in restored.ok("launch", "--json").splitlines()]
    assert {event["kind"] for event in events} >= {"phase", "log", "done"}
    assert events[-1] == {"kind": "done", "step": "small-agent/sbom", "text": "attached"}


@pytest.mark.parametrize(
    ("path", "text", "status", "said"),
    [
        ("app/app.py", None, 2, "app/Dockerfile:4: nothing in the build context matches 'app.py'"),
        ("app/Dockerfile", "", 2, "app/Dockerfile:1: a recipe begins with FROM"),
        ("app/Dockerfile", None, 2, "there is no recipe"),
        ("stack.toml", "tiers = 1\n", 2, "stack.toml: "),
        ("app/checks/area.py", "raise SystemExit('the area is wrong')\n", 4, "the area is wrong"),
        ("agent/Dockerfile", "ARG BASE\nFROM ${BASE}\nRUN echo useful && exit 3\n", 1, "useful"),
    ],
)
def test_what_is_wrong_ends_in_a_sentence_and_publishes_nothing(
    restored: Small, path: str, text: str | None, status: int, said: str
) -> None:
    before = restored.digests()
    file = restored.tree / path
    file.unlink() if text is None else file.write_text(text)
    if "checks" in path:
        (restored.tree / "app/app.py").write_text("print('changed')\n")
    done = restored.run("launch")
    assert done.returncode == status, done.stderr
    assert said in done.stderr
    assert "Traceback" not in done.stderr
    shutil.copytree(ROOT / "examples/small", restored.tree, dirs_exist_ok=True)
    assert restored.digests() == before


def test_the_tour_of_the_documentation_goes_as_it_says(restored: Small, tmp_path: Path) -> None:
    project = tmp_path / "project"
    project.mkdir()
    for name in ("CLI", "src", "examples"):
        shutil.copytree(ROOT / name, project / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("requirements.lock", "requirements-dev.lock"):
        shutil.copy(ROOT / name, project)
    (project / ".venvs").mkdir()
    entry = runpy.run_path(str(project / "CLI/cli.py"))  # what it would make is there: this test is not about pip
    Path(entry["place"](f"{project}/requirements-dev.lock")).symlink_to((ROOT / ".venv").resolve())
    subprocess.run(
        "git init -q && git add -A && git -c user.name=a -c user.email=a@a commit -qm tour", shell=True, cwd=project, check=True
    )
    tour = re.search(r"```bash\n(.*?)```", (ROOT / "docs/guide/tour.md").read_text(), re.DOTALL)
    assert tour
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", tour[1]],
        cwd=project,
        env=restored.environment,
        capture_output=True,
        text=True,
        timeout=560,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("42 tiles") == 1
    assert "changed image/file app.py" in done.stdout
    assert done.stdout.count("nothing to build") >= 3


def test_a_server_holds_the_stack_as_a_directory_does(small: Small, registry_server: str, tmp_path: Path) -> None:
    told = small.ok("launch", "--registry", f"{registry_server}/project")
    assert "small-agent: published" in told
    assert "nothing to build" in small.ok("launch", "--registry", f"{registry_server}/project")
    assert small.ok("run", "--registry", f"{registry_server}/project", "small-app") == "42 tiles\n"
    for place, registry in (("here", []), ("there", ["--registry", f"{registry_server}/project"])):
        small.ok("wheels", "--to", str(tmp_path / place), *registry)
    assert (tmp_path / "here/SHA256SUMS").read_text() == (tmp_path / "there/SHA256SUMS").read_text()
    for target in (f"docker://{registry_server}/project/small-base:latest", "small-base"):
        report = json.loads(small.ok("verify", target, "--registry", f"{registry_server}/project", "--json"))
        assert (report["verdict"], report["libraries"]) == ("pass", [])
        assert report["elf_files"] > 10
    wanted = small.run("verify", f"docker://{registry_server}/project/small-base:latest", "--archs", "8.9")
    assert wanted.returncode == 4, "GPU code was asked for and none is there"


def test_a_registry_directory_that_is_not_ours_is_left_alone(small: Small, tmp_path: Path) -> None:
    (tmp_path / "theirs").write_text("x")
    done = small.run("launch", registry=tmp_path)
    assert done.returncode == 3
    assert "is not a registry directory" in done.stderr
    assert os.listdir(tmp_path) == ["theirs"]


def test_the_page_on_images_and_wheels_in_use_goes_as_it_says(small: Small, registry_server: str, tmp_path: Path) -> None:
    page = (ROOT / "docs/guide/use.md").read_text().replace("localhost:5000", registry_server)
    blocks = re.findall(r"```bash\n(.*?)```", page, re.DOTALL)[1:]
    left_out = ["docker", "podman"] + ([] if shutil.which("uv") else ["uv"])  # tests/contract/test_export.py has a daemon
    lines = [line for line in "".join(blocks).splitlines() if not re.match(rf"{'|'.join(left_out)}|.* (docker|podman)$", line)]
    command = f'arrstack() {{ {sys.executable} -m arrstack --stack {small.tree}/stack.toml "$@"; }}'
    script = "\n".join([command, *lines])
    done = subprocess.run(
        ["bash", "-euo", "pipefail", "-c", script],
        cwd=tmp_path,
        env=small.environment,
        capture_output=True,
        text=True,
        timeout=560,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "nothing to build" in done.stdout, "the other registry has all of it"
    assert done.stdout.count("was there  small-tools:key-") == 1, "the second push copied it again"
    assert "shapes-1.0-py3-none-linux_x86_64.whl: OK" in done.stdout
    assert "libstdc++6" in done.stdout
    assert done.stdout.endswith("6.0\n")
    held = subprocess.run(
        ["skopeo", "inspect", "--config", f"oci-archive:{tmp_path}/small-app.tar"], check=True, capture_output=True, text=True
    )
    assert json.loads(held.stdout)["rootfs"]["diff_ids"] == small.content("small-app"), "the content stays"


def test_each_image_has_its_bill_of_materials_beside_it_and_says_what_was_compiled(small: Small) -> None:
    assert "the registry holds it" in small.ok("sbom", "small-app", "--check")
    bill = json.loads(small.ok("sbom", "small-agent"))
    (shapes,) = [each for each in bill["components"] if each["name"] == "shapes"]
    assert any(each["name"] == "io.arrstack:compile-key" for each in shapes["properties"])


def test_with_a_key_what_it_did_not_sign_is_neither_taken_nor_built_anew(small: Small, tmp_path: Path) -> None:
    key, public = tmp_path / "key.pem", tmp_path / "key.pub"
    subprocess.run(["openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout", "-out", key], check=True)
    subprocess.run(["openssl", "ec", "-in", key, "-pubout", "-out", public], check=True, capture_output=True)
    refused = small.run("launch", "small-base", "--trusted-key", str(public))
    assert refused.returncode == 3
    assert "is not signed" in refused.stderr
    assert "small-base/shapes" in small.ok("provenance", "small-base", "--sign", "--signing-key", str(key))
    assert "nothing to build" in small.ok("launch", "small-base", "--trusted-key", str(public))
    small.ok("provenance", "small-base", "--check", "--trusted-key", str(public))


def test_a_shell_opens_where_a_step_failed_with_its_build_directory_and_arguments(restored: Small) -> None:
    source = restored.tree / "shapes/src/area.cpp"
    source.write_text(source.read_text() + "int broken(\n")
    said = "echo [$SHAPES_VERSION]; ls /opt/shapes /build; exit 7\n"
    failed = restored.run("launch", "small-base", "--shell-on-failure", given=said)
    assert failed.returncode == 1
    assert "[1.0]" in failed.stdout and "build.ninja" in failed.stdout
    opened = restored.run("shell", given=said)
    assert opened.returncode == 7
    assert "/build/build.sh" in opened.stdout
    assert "build.ninja" in opened.stdout, (
        "the build's folder, as the failed step left it: which objects ninja still made is chance"
    )
    before = restored.run("shell", "small-base/shapes", "--before", "14", given="ls /build\n")
    assert before.stdout.splitlines()[-1] == "sccache_stats.py", "the instruction at line 13 is done, that at 14 is not"
