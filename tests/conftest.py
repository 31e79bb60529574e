"""Fixtures that all tests share. No test sees the caches, state or registry of the person who runs it."""

import itertools
import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from arrstack.model import Answer, Image, State
from arrstack.recipes.config import LoadedStack, load

ROOT = Path(__file__).parent.parent
# A shell gives the commands that it runs in the background SIGINT ignored, and children inherit that: none would hear Ctrl-C.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
# A deadline for each example fails where the machine does something else meanwhile; a test that hangs has pytest's timeout.
settings.register_profile("busy machine", deadline=None)
settings.load_profile("busy machine")


@pytest.fixture(scope="session")
def homes(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for each test: pytest's own numbering would read all of the earlier ones' names for the next."""
    folder = tmp_path_factory.mktemp("homes")
    return (folder / str(number) for number in itertools.count())


@pytest.fixture(autouse=True)
def own_folders(homes: Iterator[Path], monkeypatch: pytest.MonkeyPatch) -> Path:
    home = next(homes)
    home.mkdir()
    for name in ("XDG_CACHE_HOME", "XDG_STATE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(home / name.lower()))
    for name in ("ARRSTACK_REGISTRY", "ARRSTACK_STACK", "ARRSTACK_PROFILE", "ARRSTACK_ENGINE"):
        monkeypatch.delenv(name, raising=False)
    return home


class ClaimingRegistry:
    """A lookup that answers as if some images were published: `claim` makes one present."""

    def __init__(self) -> None:
        self.images: dict[tuple[str, str], Image] = {}
        self.asked: list[tuple[str, str]] = []

    def claim(self, repository: str, tag: str, content: str, labels: dict[str, str] | None = None) -> Image:
        image = Image(repository, f"sha256:{content}", f"sha256:{content}", content, labels or {}, "", 1)
        self.images[repository, tag] = image
        return image

    def __call__(self, repository: str, tag: str) -> Answer:
        self.asked.append((repository, tag))
        image = self.images.get((repository, tag))
        return Answer(State.PRESENT, image) if image else Answer(State.ABSENT)


@pytest.fixture
def claims() -> ClaimingRegistry:
    return ClaimingRegistry()


@pytest.fixture
def write_stack(tmp_path: Path) -> Callable[..., LoadedStack]:
    """Writes a stack of one or more tiers, each with a Dockerfile's text, and loads it."""

    def write(
        dockerfiles: dict[str, str], args: dict[str, str] | None = None, files: dict[str, str] | None = None
    ) -> LoadedStack:
        lines = ['default-profile = "p"']
        below = ""
        for name, text in dockerfiles.items():
            folder = tmp_path / name
            folder.mkdir(exist_ok=True)
            (folder / "Dockerfile").write_text(text)
            lines += ["[[tiers]]", f'name = "{name}"', f'recipe = "{name}"', f'context = "{name}"']
            lines += [f'from = "{below}"'] if below else []
            below = name
        lines += [
            "[profiles.p]",
            'description = "a test"',
            "[profiles.p.bases]",
            'BASE = { method = "pull", image = "debian:trixie" }',
        ]
        lines += ["[profiles.p.archive]", 'suite = "trixie"', 'date = "2026-01-01"', "[profiles.p.args]"]
        lines += [f'{name} = "{value}"' for name, value in (args or {}).items()]
        for path, text in (files or {}).items():
            (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / path).write_text(text)
        (tmp_path / "stack.toml").write_text("\n".join(lines) + "\n")
        return load(tmp_path / "stack.toml")

    return write
