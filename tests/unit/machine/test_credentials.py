"""Where a login is found: each file, each key, each kind of helper; and what never happens to a secret."""

import base64
import json
import os
from pathlib import Path
from typing import Any

import pytest

from arrstack.machine import credentials
from arrstack.machine.credentials import Credentials, Login
from arrstack.machine.process import Processes
from arrstack.machine.skopeo import auth_file


def auth(user: str, secret: str = "secret") -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}


class Person:
    """Somebody with a home folder, and helpers on the PATH."""

    def __init__(self, folder: Path, user: int = 1000) -> None:
        self.home, self.programs, self.user = folder / "home", folder / "programs", user
        self.home.mkdir()
        self.programs.mkdir()
        self.environment = {
            "HOME": str(self.home),
            "PATH": f"{self.programs}:/usr/bin:/bin",
            "XDG_RUNTIME_DIR": str(folder / "run"),
        }

    def writes(self, name: str, content: Any) -> Path:
        path = self.home / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content if isinstance(content, str) else json.dumps(content))
        return path

    def helper(self, name: str, script: str) -> None:
        path = self.programs / f"docker-credential-{name}"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    @property
    def credentials(self) -> Credentials:
        return Credentials(Processes(self.environment), self.user)

    def finds(self, host: str, repository: str = "team/image") -> Login | None:
        return self.credentials.find(host, repository).login

    def user_at(self, host: str, repository: str = "team/image") -> str | None:
        login = self.finds(host, repository)
        return login.user if login else None


@pytest.fixture
def person(tmp_path: Path) -> Person:
    return Person(tmp_path)


# -- files


def test_nobody_is_logged_in_where_there_is_no_file(person: Person) -> None:
    assert person.finds("quay.io") is None


def test_the_files_are_searched_in_the_order_of_containers_auth_json(person: Person) -> None:
    files = [".dockercfg", ".docker/config.json", ".config/containers/auth.json", "../run/containers/auth.json"]
    for name in files:
        entries = {"quay.io": auth(name)}
        person.writes(name, entries if name == ".dockercfg" else {"auths": entries})
        assert person.user_at("quay.io") == name


def test_the_environment_names_other_files(person: Person) -> None:
    for variable, name in (
        ("DOCKER_CONFIG", "d/config.json"),
        ("XDG_CONFIG_HOME", "x/containers/auth.json"),
        ("REGISTRY_AUTH_FILE", "r.json"),
    ):
        path = person.writes(name, {"auths": {"quay.io": auth(variable)}})
        person.environment[variable] = str(path if variable == "REGISTRY_AUTH_FILE" else person.home / name[0])
        assert person.user_at("quay.io") == variable


@pytest.mark.parametrize(
    ("user", "files"),
    [(0, ["/run/containers/0/auth.json"]), (1000, ["/run/containers/1000/auth.json", "/run/user/1000/containers/auth.json"])],
)
def test_without_a_runtime_folder_root_and_a_user_have_files_of_their_own(tmp_path: Path, user: int, files: list[str]) -> None:
    person = Person(tmp_path, user)
    del person.environment["XDG_RUNTIME_DIR"]
    assert [str(path) for path, _ in person.credentials.files()][: len(files)] == files


@pytest.mark.parametrize(
    "name",
    [
        "run/user/{}/containers/auth.json",
        "tmp/podman-run-{}/containers/auth.json",
        "var/tmp/containers-user-{}/containers/containers/auth.json",
    ],
)
def test_a_user_s_login_by_podman_or_buildah_without_a_session_is_found_and_skopeo_told(tmp_path: Path, name: str) -> None:
    me = os.geteuid() or 1000
    person = Person(tmp_path, me)
    del person.environment["XDG_RUNTIME_DIR"]
    path = tmp_path / name.format(me)
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"auths": {"quay.io": auth("me")}}))
    credentials = Credentials(Processes(person.environment), me, tmp_path)
    if os.geteuid() == 0:
        assert credentials.find("quay.io", "a").login is None, "it is somebody else's file"
        os.chown(path, me, me)
    assert credentials.find("quay.io", "a").login == Login("me", "secret", private=True)


def test_without_home_the_user_s_own_is_taken(person: Person) -> None:
    del person.environment["HOME"]
    assert Path(credentials.home_of(0)) / ".dockercfg" in [
        path for path, _ in Credentials(Processes(person.environment), 0).files()
    ]
    assert credentials.home_of(4_000_000_000 - 1) == "/"


@pytest.mark.parametrize(
    "damage",
    [
        "",
        "{",
        "[]",
        "null",
        '{"auths": []}',
        '{"auths": 5}',
        '{"credHelpers": [1]}',
        "[" * 100_000,
        '{"auths": ' + '{"a":' * 50_000,
    ],
)
def test_a_damaged_file_counts_as_none_and_the_next_is_read(person: Person, damage: str) -> None:
    person.writes(".config/containers/auth.json", damage)
    person.writes(".docker/config.json", {"auths": {"quay.io": auth("me")}})
    assert person.user_at("quay.io") == "me"


@pytest.mark.parametrize(
    "damage", [5, None, {"auth": "///"}, {"auth": 7}, {"auth": "bm9jb2xvbg=="}, {"auth": base64.b64encode(b"\xff:x").decode()}]
)
def test_a_damaged_entry_hides_no_other(person: Person, damage: object) -> None:
    person.writes(".docker/config.json", {"auths": {"ghcr.io": damage, "quay.io": auth("me")}})
    assert person.user_at("quay.io") == "me"
    assert person.finds("ghcr.io") is None


def test_a_folder_or_a_pipe_in_a_file_s_place_is_passed_over(person: Person) -> None:
    (person.home / ".config/containers/auth.json").mkdir(parents=True)
    (person.home / ".docker").mkdir()
    os.mkfifo(person.home / ".docker/config.json")
    assert person.finds("quay.io") is None


# -- keys


@pytest.mark.parametrize(
    "key", ["docker.io", "index.docker.io", "registry-1.docker.io", "https://index.docker.io/v1/", "https://docker.io"]
)
def test_docker_hub_s_login_is_found_under_each_of_its_names(person: Person, key: str) -> None:
    person.writes(".docker/config.json", {"auths": {key: auth("me")}})
    assert person.user_at("docker.io", "library/debian") == "me"
    assert person.finds("quay.io") is None


def test_the_longest_key_that_fits_a_repository_counts(person: Person) -> None:
    keys = ["ghcr.io", "ghcr.io/team", "ghcr.io/team/image", "ghcr.io/team/ima", "ghcr.io/other"]
    person.writes(".config/containers/auth.json", {"auths": {key: auth(key) for key in keys}})
    assert person.user_at("ghcr.io", "team/image") == "ghcr.io/team/image"
    assert person.user_at("ghcr.io", "team/image/deep") == "ghcr.io/team/image"
    assert person.user_at("ghcr.io", "team/more") == "ghcr.io/team"
    assert person.user_at("ghcr.io", "teams") == "ghcr.io"


def test_a_namespace_s_login_is_not_given_to_its_neighbours(person: Person) -> None:
    person.writes(".docker/config.json", {"auths": {"ghcr.io/team": auth("me")}})
    assert person.finds("ghcr.io", "other/image") is None
    assert person.finds("ghcr.io", "teamster") is None


def test_a_login_under_an_old_address_is_found(person: Person) -> None:
    person.writes(".docker/config.json", {"auths": {"https://quay.io/v1/": auth("me")}})
    assert person.user_at("quay.io") == "me"
    assert person.finds("quay.io.evil.example") is None


def test_a_port_is_part_of_the_host(person: Person) -> None:
    person.writes(".docker/config.json", {"auths": {"127.0.0.1:5000": auth("me")}})
    assert person.finds("127.0.0.1:5001") is None
    assert person.user_at("127.0.0.1:5000") == "me"


def test_a_secret_may_hold_colons_and_other_alphabets(person: Person) -> None:
    person.writes(".docker/config.json", {"auths": {"quay.io": auth("me", "a:b:ü")}})
    login = person.finds("quay.io")
    assert login and (login.user, login.secret) == ("me", "a:b:ü")
    assert base64.b64decode(login.basic).decode() == "me:a:b:ü"


def test_user_and_password_may_stand_apart_and_a_token_alone(person: Person) -> None:
    person.writes(".docker/config.json", {"auths": {"a.io": {"username": "me", "password": "p"}, "b.io": {"identitytoken": "t"}}})
    assert person.finds("a.io") == Login("me", "p")
    assert person.finds("b.io") == Login("", "", "t")


def test_no_repr_shows_a_secret() -> None:
    assert "hidden" not in repr(Login("me", "hidden", "hidden"))


# -- helpers

ANSWERS = """read server; printf '{"ServerURL":"%s","Username":"%s","Secret":"s"}' "$server" "$1 $server" """


def test_a_helper_of_one_registry_is_asked_by_its_protocol(person: Person) -> None:
    person.helper("gcloud", ANSWERS)
    person.writes(".docker/config.json", {"credHelpers": {"europe-docker.pkg.dev": "gcloud"}})
    assert person.finds("europe-docker.pkg.dev") == Login("get europe-docker.pkg.dev", "s")
    assert person.finds("quay.io") is None


def test_a_helper_comes_before_what_the_file_itself_holds(person: Person) -> None:
    person.helper("x", ANSWERS)
    person.writes(".docker/config.json", {"credHelpers": {"quay.io": "x"}, "auths": {"quay.io": auth("stale")}})
    assert person.user_at("quay.io") == "get quay.io"


def test_a_store_holds_the_logins_of_all_registries_and_skopeo_must_be_told(person: Person, tmp_path: Path) -> None:
    person.helper("pass", ANSWERS)
    person.writes(".docker/config.json", {"credsStore": "pass", "auths": {"quay.io": {}}})
    assert person.finds("quay.io") == Login("get quay.io", "s", private=True)
    assert person.user_at("docker.io", "library/debian") == "get https://index.docker.io/v1/"
    flags = auth_file(Processes(person.environment), "--src-authfile", "docker://quay.io/a:1", tmp_path / "auth.json")
    assert flags == ["--src-authfile", str(tmp_path / "auth.json")]
    assert (tmp_path / "auth.json").stat().st_mode & 0o777 == 0o600
    person.environment["REGISTRY_AUTH_FILE"] = str(tmp_path / "auth.json")
    assert person.finds("quay.io") == Login("get quay.io", "s")


def test_skopeo_finds_all_other_logins_itself(person: Person, tmp_path: Path) -> None:
    person.writes(".docker/config.json", {"auths": {"quay.io": auth("me")}})
    for reference in ("docker://quay.io/a:1", "docker://ghcr.io/a", "oci:quay.io/a", "docker://QUAY"):
        assert auth_file(Processes(person.environment), "--src-authfile", reference, tmp_path / "auth.json") == []


def test_a_helper_may_answer_with_an_identity_token(person: Person) -> None:
    person.helper("acr", """echo '{"Username": "<token>", "Secret": "t"}'""")
    person.writes(".docker/config.json", {"credHelpers": {"x.azurecr.io": "acr"}})
    assert person.finds("x.azurecr.io") == Login("", "", "t")


@pytest.mark.parametrize(
    ("script", "trouble"),
    [
        ("echo credentials not found in native keychain; exit 1", ""),
        ("echo the keychain is locked; exit 1", "docker-credential-x: the keychain is locked"),
        ("echo it is out of order >&2; exit 3", "docker-credential-x: it is out of order"),
        ("exit 3", "docker-credential-x: status 3"),
        ("echo nonsense", "did not answer with a user and a secret"),
        ("echo '{}'", "did not answer with a user and a secret"),
        ("echo '[5]'", "did not answer with a user and a secret"),
        ("head -c 100000 /dev/zero | tr '\\0' '['", "did not answer with a user and a secret"),
    ],
)
def test_a_helper_that_has_none_or_fails_is_told_and_another_file_is_read(person: Person, script: str, trouble: str) -> None:
    person.helper("x", script)
    person.writes(".config/containers/auth.json", {"credHelpers": {"quay.io": "x"}})
    found = person.credentials.find("quay.io", "a")
    assert found.login is None
    assert trouble in found.trouble and bool(trouble) == bool(found.trouble)
    person.writes(".docker/config.json", {"auths": {"quay.io": auth("me")}})
    assert person.user_at("quay.io") == "me"


def test_a_helper_that_does_not_end_is_ended(person: Person, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(credentials, "HELPER_SECONDS", 0.2)
    person.helper("x", "exec sleep 60")
    person.writes(".docker/config.json", {"credHelpers": {"quay.io": "x"}})
    assert "did not answer within" in person.credentials.find("quay.io", "a").trouble


@pytest.mark.parametrize("name", ["desktop", "../../bin/sh", "a b", ""])
def test_a_helper_that_is_not_installed_or_has_no_name_keeps_nobody_from_going_on(person: Person, name: str) -> None:
    person.writes(".docker/config.json", {"credsStore": name, "auths": {"quay.io": auth("me")}})
    assert person.user_at("quay.io") == "me"
    found = person.credentials.find("ghcr.io", "a")
    assert found.login is None
    assert bool(found.trouble) == bool(name)
