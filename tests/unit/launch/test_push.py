"""What one registry holds, copied to another: only what is not there yet, and the tags last."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from arrstack.engines.compression import GZIP, ZSTD
from arrstack.errors import ConfigError, RegistryError
from arrstack.launch.export import Copy
from arrstack.launch.push import AWAY, LOGIN, Item, Pushed, items, push
from arrstack.launch.wheelhouse import PublishedWheel
from arrstack.model import LABEL_KEY, Image
from tests.fakes.registry import MemoryRegistry
from tests.fakes.skopeo import Skopeo

KEY = "0123456789abcdef" * 4
IMAGE = Image("one", "sha256:one", "sha256:config", "content", {LABEL_KEY: KEY}, "", 100)
WHEEL = PublishedWheel("one", "lib", "Lib", "1.5", (), KEY[:24], True, replace(IMAGE, digest="sha256:wheel", labels={}))
ITEM = Item(IMAGE, f"key-{KEY[:24]}")


@dataclass
class Server(MemoryRegistry):
    """It takes pushes: an image has the digest that was written, and the config of what was sent."""

    name: str = "server"

    def publish(self, repository: str, tag: str, send: Callable[[str, bool], str]) -> Image:
        return self.put(repository, tag, replace(IMAGE, digest=send(f"there:{repository}:{tag}", True)))


def pushed(
    tmp_path: Path, wanted: list[Item], target: MemoryRegistry, skopeo: Skopeo, layers: str = GZIP
) -> tuple[list[Pushed], list[Copy]]:
    copies: list[Copy] = []
    return push(wanted, "latest", MemoryRegistry(), target, skopeo, tmp_path, copies.append, layers), copies


def test_the_wheels_come_first_and_each_goes_under_the_tag_that_its_content_has() -> None:
    assert items([IMAGE], [WHEEL]) == [Item(WHEEL.image, f"lib-wheel-{KEY[:24]}"), ITEM]


def test_an_image_that_no_launch_made_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"one@sha256:one has no key") as error:
        items([replace(IMAGE, labels={})], [])
    assert error.value.hint == "`arrstack launch` builds one"


def test_what_is_not_there_is_copied_and_the_profile_s_tag_moves_of_images_alone(tmp_path: Path) -> None:
    server, skopeo = Server(), Skopeo(reads=130)
    done, copies = pushed(tmp_path, items([IMAGE], [WHEEL]), server, skopeo)
    names = [f"one:lib-wheel-{KEY[:24]}", f"one:key-{KEY[:24]}"]
    assert done == [Pushed(name, "sha256:written", True) for name in names]
    assert [argv[-2:] for argv in skopeo.asked] == [
        ["memory:one@sha256:wheel", f"there:{names[0]}"],
        ["memory:one@sha256:one", f"there:{names[1]}"],
    ]
    assert all("--format oci" in " ".join(argv) for argv in skopeo.asked)
    assert server.moves == [("one", "latest")]
    assert copies == [Copy(name, 100, 100) for name in names], "some bytes are read twice"


def test_what_is_there_is_not_copied_again_and_its_tag_moves_all_the_same(tmp_path: Path) -> None:
    server, skopeo = Server(), Skopeo()
    server.put("one", ITEM.tag, replace(IMAGE, digest="sha256:there"))
    assert pushed(tmp_path, [ITEM], server, skopeo)[0] == [Pushed(ITEM.name, "sha256:there", False)]
    assert skopeo.asked == [] and server.images["one", "latest"].digest == "sha256:there"


def test_another_image_under_the_same_key_is_replaced(tmp_path: Path) -> None:
    server = Server()
    server.put("one", ITEM.tag, replace(IMAGE, config_digest="sha256:another"))
    assert pushed(tmp_path, [ITEM], server, Skopeo())[0] == [Pushed(ITEM.name, "sha256:written", True)]


def test_where_the_other_registry_cannot_be_asked_nothing_is_copied(tmp_path: Path) -> None:
    server, skopeo = Server(), Skopeo()
    server.unknown.add(("one", ITEM.tag))
    with pytest.raises(RegistryError, match=f"whether server holds {ITEM.name} cannot be told: 503") as error:
        pushed(tmp_path, [ITEM], server, skopeo)
    assert error.value.hint == AWAY and skopeo.asked == []


def test_a_copy_that_fails_moves_no_tag(tmp_path: Path) -> None:
    server = Server()
    with pytest.raises(RegistryError, match=f"{ITEM.name} could not be copied to server: .*no space") as error:
        pushed(tmp_path, [ITEM], server, Skopeo(fails="copy"))
    assert error.value.hint == LOGIN and server.moves == []


@pytest.mark.parametrize(("layers", "asked"), [(GZIP, False), (ZSTD, True)])
def test_layers_are_compressed_as_it_was_asked(tmp_path: Path, layers: str, asked: bool) -> None:
    skopeo = Skopeo()
    pushed(tmp_path, [ITEM], Server(), skopeo, layers)
    assert ("--dest-compress-format zstd" in " ".join(skopeo.asked[0])) is asked
