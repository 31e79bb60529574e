"""How many security updates an image's own apt names."""

from collections.abc import Generator, Mapping, Sequence
from pathlib import Path
from typing import cast

import pytest

from arrstack.engines import Engine
from arrstack.errors import RegistryError
from arrstack.launch.updates import SCRIPT, waiting_updates


class Apt:
    """A container that prints these lines; what it was asked for is kept."""

    def __init__(self, *lines: str) -> None:
        self.lines = lines
        self.asked: list[object] = []

    def run(
        self, reference: str, argv: Sequence[str], env: Mapping[str, str], mounts: Mapping[Path, str], certificates: Path | None
    ) -> Generator[str, None, int]:
        self.asked += [reference, list(argv), dict(env), dict(mounts), certificates]
        yield from self.lines
        return 0


def test_the_last_number_counts_and_the_image_s_apt_gets_this_machine_s_certificates() -> None:
    apt = Apt("7", "W: a warning", "12", "²")
    assert waiting_updates(cast(Engine, apt), "app:1", Path("/certificates")) == 12
    assert apt.asked == ["app:1", ["sh", "-c", SCRIPT], {}, {}, Path("/certificates")]


def test_an_archive_that_cannot_be_asked_is_no_zero() -> None:
    with pytest.raises(RegistryError, match=r"could not be asked for updates: E: no route$"):
        waiting_updates(cast(Engine, Apt("W: old", "E:", "no route")), "app:1", None)
