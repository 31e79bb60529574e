"""A bootstrapped base that several machines stand on: from the registry where it is there, and to it once it is made."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from arrstack.engines.bases import bootstrap, local_base
from arrstack.engines.local import LocalBuilder
from arrstack.machine.folders import Folders
from arrstack.machine.process import Processes
from arrstack.model import Image
from arrstack.recipes.config import Bootstrap
from tests.fakes.registry import MemoryRegistry

BASE, ARCHIVE = Bootstrap(suite="trixie"), "trixie 2026-11-24"
REFERENCE = local_base(BASE, ARCHIVE)
TAG = REFERENCE.rpartition(":")[2]
MADE = Image("base", f"sha256:{'1' * 64}", f"sha256:{'2' * 64}", "3", {}, "", 1)


class Server(MemoryRegistry):
    def publish(self, repository: str, tag: str, send: Callable[[str, bool], str]) -> Image:
        send(f"memory:{repository}:{tag}", True)
        return self.put(repository, tag, MADE)


class Store:
    """An engine's store, as far as bases need it."""

    name = "store"

    def __init__(self) -> None:
        self.held: list[str] = []
        self.done: list[str] = []

    def has(self, reference: str) -> bool:
        return reference in self.held

    def import_rootfs(self, archive: Path, reference: str) -> str:
        self.done.append("made")
        self.held.append(reference)
        return reference

    def pull(self, source: str, reference: str) -> str:
        self.done.append(f"pulled {source}")
        self.held.append(reference)
        return reference

    def push(self, reference: str, destination: str, compress: bool, layers: str = "") -> str:
        self.done.append(f"pushed {destination}")
        return MADE.digest


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """With a mmdebstrap that makes an empty archive."""
    program = tmp_path / "bin/mmdebstrap"
    program.parent.mkdir()
    program.write_text('#!/bin/sh\nfor last; do :; done; : > "$last"; echo I: done\n')
    program.chmod(0o755)
    return tmp_path


def make(folder: Path, store: Store, registry: MemoryRegistry, shares: bool = True) -> list[str]:
    environment = {"PATH": f"{folder}/bin:{os.environ['PATH']}"}
    folders = Folders(folder / "cache", folder / "state", folder / "data")
    builder = LocalBuilder(store, registry, Processes(environment), folders, shares_bases=shares)  # type: ignore[arg-type]
    lines = builder.make_base(BASE, ARCHIVE, io.BytesIO())
    told = []
    while True:
        try:
            told.append(next(lines))
        except StopIteration as end:
            assert end.value == REFERENCE
            return told


def test_a_base_without_documentation_keeps_licences(tmp_path: Path) -> None:
    program = tmp_path / "mmdebstrap"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    program.chmod(0o755)
    processes = Processes({"PATH": f"{tmp_path}:{os.environ['PATH']}"})
    bare = Bootstrap(suite="trixie", components=("main", "non-free"), documentation=False)
    lines = list(bootstrap(bare, tmp_path / "rootfs.tar", processes, io.BytesIO()))
    options = [line for line in lines if line.startswith("--dpkgopt=")]
    # dpkg takes the last one that fits a path.
    assert options[:2] == ["--dpkgopt=path-exclude=/usr/share/doc/*/*", "--dpkgopt=path-include=/usr/share/doc/*/copyright"]
    assert "--dpkgopt=path-exclude=/usr/share/man/*" in options
    assert lines[-3:] == ["--", "trixie", str(tmp_path / "rootfs.tar")]
    assert "--dpkgopt" not in " ".join(bootstrap(BASE, tmp_path / "rootfs.tar", processes, io.BytesIO()))


def test_a_base_that_nobody_made_is_made_and_kept_for_the_others(folder: Path) -> None:
    store, registry = Store(), Server()
    assert make(folder, store, registry) == ["I: done"]
    assert store.done == ["made", f"pushed memory:base:{TAG}"]


def test_a_base_that_another_machine_made_is_taken_as_it_is(folder: Path) -> None:
    store, registry = Store(), Server()
    registry.put("base", TAG, MADE)
    assert make(folder, store, registry) == [f"memory has this base: {MADE.digest}"]
    assert store.done == [f"pulled memory:base@{MADE.digest}"]


def test_a_registry_that_cannot_tell_or_takes_nothing_fails_no_build(folder: Path) -> None:
    store, registry = Store(), MemoryRegistry()
    registry.unknown.add(("base", TAG))
    told = make(folder, store, registry)
    assert told[0] == "I: done" and "was not kept for other builds" in told[1]
    assert store.done == ["made"]


def test_where_one_machine_builds_all_no_base_goes_to_the_registry(folder: Path) -> None:
    store, registry = Store(), Server()
    registry.put("base", TAG, MADE)
    make(folder, store, registry, shares=False)
    assert store.done == ["made"]
