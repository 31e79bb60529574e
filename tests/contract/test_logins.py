"""Real logins: a registry that wants a password (docker-registry with htpasswd), and each tool's own `login` for it. What the
tool wrote is found by a look-up, and by the skopeo that pushes and pulls."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from arrstack.machine import skopeo
from arrstack.machine.credentials import Credentials
from arrstack.machine.process import Failed, Processes
from arrstack.model import State
from arrstack.reference import Place
from arrstack.registry.distribution import Distribution
from tests.contract.conftest import serving
from tests.contract.layouts import layout
from tests.tools.debian import program

USER, PASSWORD = "somebody", "secret:with:colons"


@pytest.fixture(scope="module")
def guarded(downloads: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """HOST:PORT of a registry that wants USER and PASSWORD."""
    folder = tmp_path_factory.mktemp("guarded")
    htpasswd = program("htpasswd", "apache2-utils", downloads)
    told = subprocess.run([htpasswd, "-Bbn", USER, PASSWORD], check=True, capture_output=True, text=True)
    (folder / "htpasswd").write_text(told.stdout)
    with serving(folder, downloads, f"auth:\n  htpasswd:\n    realm: tests\n    path: {folder}/htpasswd\n") as address:
        yield address


@pytest.fixture
def person(tmp_path: Path) -> dict[str, str]:
    """The environment of somebody with a home and a session."""
    for name in ("home", "session"):
        (tmp_path / name).mkdir(mode=0o700)
    return {"PATH": os.environ["PATH"], "HOME": str(tmp_path / "home"), "XDG_RUNTIME_DIR": str(tmp_path / "session")}


def logged_in(tool: str, host: str, environment: dict[str, str]) -> None:
    """By the tool's own command. Skips where the tool is not here, or wants a daemon that is not."""
    path = shutil.which(tool)
    if path is None:
        pytest.skip(f"{tool} is not installed")
    plain = [] if tool == "docker" else ["--tls-verify=false"]
    if tool == "docker":  # with a login in its file it looks for no keychain of this machine
        (Path(environment["HOME"]) / ".docker").mkdir(exist_ok=True)
        (Path(environment["HOME"]) / ".docker/config.json").write_text('{"auths": {"other.example": {"auth": "eDp5"}}}')
    argv = [path, "login", *plain, "--username", USER, "--password-stdin", host]
    done = subprocess.run(argv, input=PASSWORD, env=environment, capture_output=True, text=True)
    if done.returncode and "daemon" in done.stderr:
        pytest.skip(f"{tool} wants its daemon: {done.stderr.strip()}")
    assert done.returncode == 0, done.stderr


def pushed(host: str, environment: dict[str, str], source: Path) -> str:
    return skopeo.copy(Processes(environment), f"oci:{source}", f"docker://{host}/team/tier:latest")


def in_session(environment: dict[str, str]) -> dict[str, str]:
    return environment


def without_session(environment: dict[str, str]) -> dict[str, str]:
    """As root of a container or after `sudo` has it: no XDG_RUNTIME_DIR."""
    return {name: value for name, value in environment.items() if name != "XDG_RUNTIME_DIR"}


@pytest.fixture(params=[in_session, without_session])
def environment(request: pytest.FixtureRequest, person: dict[str, str]) -> Iterator[dict[str, str]]:
    change: Callable[[dict[str, str]], dict[str, str]] = request.param
    own = Path(f"/run/containers/{os.geteuid()}/auth.json")
    if change is without_session:
        if os.geteuid():
            pytest.skip("only root may make that folder")
        if own.exists():
            pytest.skip("somebody is logged in on this machine")
    yield change(person)
    if change is without_session:
        own.unlink(missing_ok=True)


@pytest.mark.parametrize("tool", ["skopeo", "buildah", "podman", "docker"])
def test_a_login_by_each_tool_is_found(guarded: str, environment: dict[str, str], tmp_path: Path, tool: str) -> None:
    registry = Distribution(Place(guarded, "team"), environment)
    assert registry.lookup("tier", "latest").state is State.UNKNOWN
    with pytest.raises(Failed):
        pushed(guarded, environment, layout(tmp_path / "before", "one"))
    logged_in(tool, guarded, environment)
    digest = pushed(guarded, environment, layout(tmp_path / "one", "one"))
    again = Distribution(Place(guarded, "team"), environment)
    found = again.lookup("tier", "latest")
    assert found.image and found.image.digest == digest
    assert again.tags("tier") == ["latest"]
    assert again.lookup("tier", "none").state is State.ABSENT


HELPER = f"""#!/bin/sh
read -r server
[ "$1" = get ] && [ "$server" = "$SERVER" ] || {{ echo credentials not found in native keychain; exit 1; }}
echo '{{"ServerURL": "'"$server"'", "Username": "{USER}", "Secret": "{PASSWORD}"}}'
"""


@pytest.mark.parametrize("settings", ["credHelpers", "credsStore"])
def test_a_helper_s_login_serves_look_ups_pushes_and_pulls(
    guarded: str, person: dict[str, str], tmp_path: Path, settings: str
) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "docker-credential-tests").write_text(HELPER)
    (programs / "docker-credential-tests").chmod(0o755)
    environment = person | {"PATH": f"{programs}:{person['PATH']}", "SERVER": guarded}
    config = {"credHelpers": {guarded: "tests"}} if settings == "credHelpers" else {"credsStore": "tests", "auths": {guarded: {}}}
    (tmp_path / "home/.docker").mkdir()
    (tmp_path / "home/.docker/config.json").write_text(json.dumps(config))
    digest = pushed(guarded, environment, layout(tmp_path / "one", "one"))
    registry = Distribution(Place(guarded, "team"), environment)
    assert registry.lookup("tier", digest).state is State.PRESENT
    source = registry.pinned("tier", digest, tmp_path)
    assert skopeo.copy(Processes(environment), source, f"dir:{tmp_path}/pulled") == digest


def test_a_namespace_s_login_counts_for_it_alone(guarded: str, person: dict[str, str], tmp_path: Path) -> None:
    logged_in("skopeo", guarded, person)
    path = Path(person["XDG_RUNTIME_DIR"]) / "containers/auth.json"
    held = json.loads(path.read_text())["auths"][guarded]
    path.write_text(json.dumps({"auths": {f"{guarded}/team": held}}))
    credentials = Credentials(Processes(person))
    assert credentials.find(guarded, "team/tier").login and not credentials.find(guarded, "other/tier").login
    pushed(guarded, person, layout(tmp_path / "one", "one"))
    assert Distribution(Place(guarded, "team"), person).lookup("tier", "latest").state is State.PRESENT
    assert Distribution(Place(guarded, "other"), person).lookup("tier", "latest").state is State.UNKNOWN


def test_no_password_stands_in_a_command_s_words(guarded: str, person: dict[str, str], tmp_path: Path) -> None:
    seen: list[str] = []

    class Noting(Processes):
        def run(self, argv, *args, **options):  # type: ignore[no-untyped-def]
            seen.extend(argv)
            return super().run(argv, *args, **options)

    logged_in("skopeo", guarded, person)
    skopeo.copy(Noting(person), f"oci:{layout(tmp_path / 'one', 'one')}", f"docker://{guarded}/team/tier:latest")
    assert seen and not any(PASSWORD in word for word in seen)
