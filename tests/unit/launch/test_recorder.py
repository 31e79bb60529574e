"""The record of a build: what it says, and that it fails nothing."""

import json
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from arrstack.errors import RegistryError
from arrstack.launch.recorder import KIND, Recorder, Took
from arrstack.machine.usage import InUse, Peaks, in_use, watched
from arrstack.model import Event, EventKind, Image
from arrstack.registry.attachments import Attachment
from tests.fakes.registry import MemoryRegistry

NOW = datetime(2026, 11, 27, 4, tzinfo=UTC)
MADE = Image("tier", f"sha256:{'1' * 64}", f"sha256:{'2' * 64}", "3", {}, "", 1)
TOOK = Took(90.0, Peaks(4 << 30, 9 << 30, 2 << 30), (7, 8))


class FullRegistry(MemoryRegistry):
    def attach(self, repository: str, digest: str, attachment: Attachment) -> str:
        raise RegistryError("the registry is full")


def recorder(registry: MemoryRegistry) -> Recorder:
    return Recorder(registry, lambda: InUse(1, 1), "c3-standard-176", "sha256:12ab", 176)


def test_a_record_is_attached_to_what_was_published_and_says_what_the_build_took() -> None:
    registry = MemoryRegistry()
    kept = recorder(registry)
    kept.note("reference", TOOK)
    assert list(kept.keep("tier", MADE, "reference", NOW)) == []
    (record,) = registry.attached("tier", MADE.digest, KIND)
    assert json.loads(record.data) == {
        "machine": "c3-standard-176",
        "cores": 176,
        "builder": "sha256:12ab",
        "minutes": 1.5,
        "peak_memory_bytes": 4 << 30,
        "peak_disk_bytes": 7 << 30,
        "cache_hits": 7,
        "cache_objects": 8,
        "built": "2026-11-27T04:00:00+00:00",
    }


def test_a_record_that_cannot_be_kept_is_a_warning() -> None:
    kept = recorder(FullRegistry())
    kept.note("reference", TOOK)
    (event,) = kept.keep("tier", MADE, "reference", NOW)
    assert event == Event(EventKind.WARNING, "tier", "the record of its build was not kept: the registry is full")


def test_what_was_not_built_here_has_no_record() -> None:
    registry = MemoryRegistry()
    assert list(recorder(registry).keep("tier", MADE, "reference", NOW)) == []
    assert registry.attached("tier", MADE.digest, KIND) == []


def test_the_highest_of_what_was_in_use_is_kept() -> None:
    looks = iter([InUse(5, 100), InUse(9, 120), InUse(6, 90)])
    last = InUse(4, 95)
    with watched(lambda: next(looks, last), seconds=0.001) as peaks:
        while peaks.memory < 9:
            pass
    assert (peaks.memory, peaks.disk, peaks.disk_before) == (9, 120, 100)


def test_what_ends_while_it_is_watched_leaves_no_watch_behind() -> None:
    before = threading.active_count()
    with pytest.raises(RuntimeError, match="ended"), watched(lambda: InUse(1, 1), seconds=0.001):
        raise RuntimeError("ended")
    assert threading.active_count() == before


def test_this_machines_memory_and_disk_are_read(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal:       1000 kB\nMemFree:         10 kB\nMemAvailable:    400 kB\n")
    now = in_use(tmp_path, tmp_path)
    assert now.memory == 600 * 1024 and now.disk > 0
