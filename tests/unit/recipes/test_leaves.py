"""What a recipe reads of its context, and which values its leaves have: as BuildKit and buildah do (each tried on both)."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from arrstack.errors import ConfigError
from arrstack.model import sha256
from arrstack.recipes.config import LoadedStack, Wheel
from arrstack.recipes.dockerfile import parse
from arrstack.recipes.inputs import key, tree
from arrstack.recipes.leaves import SHORT, ContextSource, value
from arrstack.recipes.tiers import read, read_tier
from tests.unit.recipes.test_dockerfile import PIECES

FILES = "a b v v1 vb x xa xb xz $A amd64/f linux/f s/f t/f git@x x:/y <<EOF".split()


@pytest.fixture
def leaves(write_stack: Callable[..., LoadedStack]) -> Callable[..., dict[str, str]]:
    def found(text: str, args: dict[str, str] | None = None) -> dict[str, str]:
        stack = write_stack({"t": text}, args=args, files={f"t/{name}": name for name in FILES})
        return dict(read_tier(stack, stack.tiers[0], {}, None).planned.inputs.leaves)

    return found


def files(leaves: dict[str, str]) -> set[str]:
    return {leaf.partition("/file ")[2] for leaf in leaves if "/file " in leaf}


@pytest.mark.parametrize(
    ("text", "read"),
    [
        # an argument without a value keeps what stands
        ("ENV A=b\nARG A\nCOPY x$A /o", {"xb"}),
        ("ARG A=b\nARG A\nCOPY x$A /o", {"xb"}),
        ("ARG A\nCOPY x$A x${A+b} x${A-a} x${A:-z} /o", {"x", "xa", "xz"}),
        ("ARG A=\nCOPY x$A x${A+b} x${A-a} x${A:-z} /o", {"x", "xb", "xz"}),
        # BuildKit takes what was said last, buildah the ENV: both count
        ("ENV D=a\nARG D=b\nCOPY x$D /o", {"xa", "xb"}),
        ("ARG D=b\nENV D=a\nCOPY x$D /o", {"xa"}),
        ("ARG V=1\nFROM t0\nARG V\nCOPY v$V /o", {"v", "v1"}),
        ("ENV V=1\nFROM t0\nCOPY v$V /o", {"v1"}),
        # the platform
        ("ARG TARGETARCH TARGETOS\nCOPY $TARGETARCH/f $TARGETOS/f /o/", {"amd64/f", "linux/f"}),
        # quotes, escapes, patterns of values
        ('ENV D="a"\nCOPY $D /o', {"a"}),
        ("ARG A=a\nCOPY '$A' /o", {"$A"}),
        ("ARG A=a\nCOPY \\$A /o", {"$A"}),
        ("ARG D='$A'\nCOPY $D /o", {"$A"}),
        ("ENV A=ab B=xa\nCOPY ${A%b} x${A#a} ${B/xa/v1} /o/", {"a", "xb", "v1"}),
        ("COPY x$1 a$@ /o/", {"x", "a"}),
        ("ENV A=a B=$A\nCOPY x$B /o", {"x"}),
        ("ENV A=a\nENV B=$A\nCOPY x$B /o", {"xa"}),
        # names that only look like something else
        ('COPY git@x x://y "<<EOF" /o/', {"git@x", "x:/y", "<<EOF"}),
        ("ADD https://x/y git@h:x a /o/", {"a"}),
        ("COPY 3<<EOF a /o/\nbody\nEOF", {"a"}),
        # patterns
        ("COPY a yarn.lock* /o/", {"a"}),
        ("COPY [x][az] /o/", {"xa", "xz"}),
        # mounts
        ("RUN --mount=type=BIND,source=s,target=/m true", {"s/f"}),
        ("ARG T=bind\nRUN --mount=type=$T,source=s,target=/m true", {"s/f"}),
        ("RUN --mount=source=t,src=s,target=/m true", {"s/f"}),
        ("RUN --mount=SOURCE=s,target=/m true", {"s/f"}),
        ("COPY a /a\nFROM scratch\nRUN --mount=FROM=t0,target=/m true", {"a"}),
        ("RUN --mount=type=cache,id=x,source=s,target=/m true", set()),
        ("RUN --mount=type=secret,id=x true", set()),
        ("RUN --mount=type=bind,from=t0,source=s,target=/m true", set()),
        # ONBUILD
        ("ONBUILD COPY a /o\nFROM t0", {"a"}),
        ("ONBUILD ENV A=b\nFROM t0\nCOPY x$A /o", {"x", "xb"}),
        ("ONBUILD RUN --mount=source=s,target=/m true\nFROM t0", {"s/f"}),
        ("ONBUILD COPY a /o", set()),
        ("COPY --parents s/./f t/** /o/", {"s/f", "t/f"}),
    ],
)
def test_the_files_that_a_recipe_reads(leaves: Callable[..., dict[str, str]], text: str, read: set[str]) -> None:
    assert files(leaves(f"FROM scratch AS t0\n{text}\n")) == read


@pytest.mark.parametrize(
    "text",
    [
        "ARG A\nCOPY x$A /o",
        "COPY x$PATH /o",
        "ENV B=$Y\nCOPY x$B /o",
        "COPY x${A:-b} /o",
        "RUN --mount=source=$A,target=/m true",
        "RUN --mount=type=cache,id=$HOME,target=/m true",
    ],
)
def test_what_the_base_image_may_set_is_not_guessed(leaves: Callable[..., dict[str, str]], text: str) -> None:
    with pytest.raises(ConfigError, match=r"Dockerfile:\d: nothing declares the argument '(A|B|Y|HOME|PATH)'"):
        leaves(f"FROM debian\n{text}\n")


def test_what_no_source_needs_may_stay_unknown(leaves: Callable[..., dict[str, str]]) -> None:
    assert files(leaves("FROM debian\nENV P=$Y/bin:$PATH\nARG Q=$Z\nRUN --mount=source=a,target=$HOME/x true\n")) == {"a"}


@pytest.mark.parametrize(
    "text",
    [
        "COPY nothing /o",
        "COPY ../a /o",
        "COPY [a /o",
        "COPY https://x/y /o",
        "COPY git@h:x /o",
        "COPY ${A:?no} /o",
        "COPY ${} /o",
        "COPY 'a /o",
        "COPY a '/o",
        "COPY --chown=${ a /o",
        'LABEL a="b',
        "WORKDIR '/x",
        "USER ${A",
        "EXPOSE 80'",
        "RUN --mount=type=bnid,source=s,target=/m true",
        "RUN --mount=type=bind,sorce=s,target=/m true",
        "RUN --mount=type=bind,source=nothing,target=/m true",
        "RUN --mount=type=bind,source=s true",
        "RUN --mount=type=cache,id=../../x,target=/m true",
        "RUN --mount=type=cache,id=a/b,target=/m true",
        "ARG A=..\nRUN --mount=type=cache,id=$A,target=/m true",
    ],
)
def test_what_cannot_be_built_is_refused_with_its_line(leaves: Callable[..., dict[str, str]], text: str) -> None:
    with pytest.raises(ConfigError, match=rf"Dockerfile:{text.count(chr(10)) + 2}: "):
        leaves(f"FROM scratch\n{text}\n")


@pytest.mark.parametrize(
    ("old", "new", "leaf"),
    [
        ('RUN printf "a  b"', 'RUN printf "a b"', "image/RUN 1"),
        ('RUN ["p", "a  b"]', 'RUN ["p", "a b"]', "image/RUN 1"),
        ('LABEL a="b  c"', 'LABEL a="b c"', "image/LABEL 1"),
        ("RUN python -c '\\\n  a'", "RUN python -c '\\\n a'", "image/RUN 1"),
        ("ARG A=1\nRUN x\nARG A=2", "ARG A=3\nRUN x\nARG A=2", "image/arg A"),
        ("ARG A=1\nRUN x\nARG A=2", "ARG A=1\nRUN x\nARG A=3", "image/arg A#2"),
        ("ONBUILD RUN <<E\none\nE", "ONBUILD RUN <<E\ntwo\nE", "image/ONBUILD 1"),
        ("ENV D=a\nARG D=b", "ENV D=a\nARG D=c", "image/arg D"),
        ("RUN a \0 b", "RUN a \0 c", "image/RUN 1"),
    ],
)
def test_what_changes_an_image_changes_a_leaf(leaves: Callable[..., dict[str, str]], old: str, new: str, leaf: str) -> None:
    before, after = (leaves(f"FROM scratch\n{text}\n") for text in (old, new))
    assert {name for name in before.keys() | after.keys() if before.get(name) != after.get(name)} == {leaf}


def test_an_argument_without_a_value_is_another_thing_than_an_empty_one(leaves: Callable[..., dict[str, str]]) -> None:
    assert leaves("FROM scratch\nARG A\n") != leaves("FROM scratch\nARG A=\n")


def test_the_argument_of_a_compile_key_needs_no_value_of_its_own(write_stack: Callable[..., LoadedStack]) -> None:
    text = "ARG BASE\nFROM $BASE AS w\nARG KEY\nRUN --mount=type=cache,id=w-${KEY},target=/w make\nFROM scratch\nCOPY --from=w /w /w\n"
    stack = write_stack({"t": text})
    wheel = Wheel(name="w", distribution="w", stage="w", version_arg="V", key_arg="KEY")
    recipe = read_tier(stack, msgspec.structs.replace(stack.tiers[0], wheels=(wheel,)), {}, None)
    assert recipe.mounts({"KEY": "abc"}) == (("w-abc",), ("/w",))
    with pytest.raises(ConfigError, match="nothing declares the argument 'KEY'"):
        read_tier(stack, stack.tiers[0], {}, None)


def test_the_platform_of_a_stage_counts(leaves: Callable[..., dict[str, str]]) -> None:
    text = "ARG P=linux/amd64\nFROM --platform=$P scratch\n"
    assert leaves(text)["image/platform"] == "linux/amd64 by $P"
    assert leaves(text.replace("amd64", "arm64"))["image/platform"] == "linux/arm64 by $P"
    assert "image/platform" not in leaves("FROM scratch\n")


def test_stages_of_one_name_do_not_hide_each_other(leaves: Callable[..., dict[str, str]]) -> None:
    found = leaves("FROM scratch AS image\nCOPY a /a\nFROM image\nCOPY b /b\n")
    assert {"image/COPY 1", "image/file a", "image#2/COPY 1", "image#2/file b"} <= set(found)


def test_what_a_parent_says_behind_onbuild_is_an_input_of_its_child(write_stack: Callable[..., LoadedStack]) -> None:
    recipes = {"one": "ARG BASE\nFROM $BASE\nONBUILD COPY f /f\n", "two": "ARG BASE\nFROM $BASE\n"}
    child = read(write_stack(recipes, files={"two/f": "x"}), {})[1].planned.inputs.leaves
    assert {"image/COPY 1", "image/file f"} <= set(child)


def test_a_name_that_is_no_text_is_a_leaf(write_stack: Callable[..., LoadedStack], tmp_path: Path) -> None:
    stack = write_stack({"t": "ARG BASE\nFROM $BASE\nCOPY odd /o\n"}, files={"t/odd/x": "x"})
    (tmp_path / "t/odd" / os.fsdecode(b"caf\xe9")).write_text("x")
    inputs = read(stack, {})[0].planned.inputs
    assert "image/file b'odd/caf\\xe9'" in inputs.leaves and inputs.digest


def test_a_staged_recipe_is_what_was_read_and_its_context_is_not_filtered_again(
    write_stack: Callable[..., LoadedStack], tmp_path: Path
) -> None:
    stack = write_stack({"t": ""}, files={"t/.dockerignore": "a", "t/a": "x", "t/Dockerfile.dockerignore": "b"})
    text = b"# caf\xe9\r\nARG BASE\r\nFROM $BASE\nCOPY a .dockerignore /o/\n"
    (tmp_path / "t/Dockerfile").write_bytes(text)
    staged = read(stack, {})[0].write_to(tmp_path / "staged")
    assert (tmp_path / "staged/Dockerfile").read_bytes() == text
    assert sorted(os.listdir(staged)) == [".dockerignore", "a"]
    # docker takes an empty file for none, and would go on to the context's own
    assert (tmp_path / "staged/Dockerfile.dockerignore").read_text().startswith("#")


@pytest.mark.parametrize("key", ["recipe", "context"])
def test_a_plan_reads_nothing_outside_the_stack_s_folder(
    write_stack: Callable[..., LoadedStack], tmp_path: Path, key: str
) -> None:
    write_stack({"t": "ARG BASE\nFROM $BASE\n"})
    (tmp_path / "t/out").symlink_to("/")
    from arrstack.recipes.config import load

    path = tmp_path / "stack.toml"
    text = path.read_text()
    for outside in ("/etc", "../..", "t/out"):
        path.write_text(text.replace(f'{key} = "t"', f'{key} = "{outside}"'))
        with pytest.raises(ConfigError, match=f"the {key} of tier 't' leads out"):
            read(load(path), {})


@pytest.mark.parametrize("name", [".dockerignore", "Dockerfile.dockerignore"])
def test_a_plan_reads_no_ignore_file_outside_the_stack_s_folder(
    write_stack: Callable[..., LoadedStack], tmp_path_factory: pytest.TempPathFactory, tmp_path: Path, name: str
) -> None:
    outside = tmp_path_factory.mktemp("outside") / "secret"
    outside.write_text("[secret")
    stack = write_stack({"t": "ARG BASE\nFROM $BASE\nCOPY . /\n"})
    (tmp_path / "t" / name).symlink_to(outside)
    with pytest.raises(ConfigError, match="the ignore file of tier 't' leads out of the folder") as refused:
        read(stack, {})
    assert "secret" not in str(refused.value)


@pytest.mark.parametrize("record", ["../record", "/etc/passwd", "t/link"])
def test_a_plan_reads_no_record_outside_the_stack_s_folder(
    write_stack: Callable[..., LoadedStack], tmp_path: Path, record: str
) -> None:
    stack = write_stack({"t": "ARG BASE\nFROM $BASE\n"})
    (tmp_path / "t/link").symlink_to("/etc/passwd")
    wheel = Wheel("w", "w-wheel", "w", "W_VERSION", "W_KEY", record=record)
    with pytest.raises(ConfigError, match="the record of wheel 'w' leads out"):
        stack.record(wheel)


@settings(deadline=2_000)
@given(st.lists(st.sampled_from([*PIECES, b"FROM scratch\n", b"a", b"b/", b"../", b"**"]), max_size=14).map(b"".join))
def test_no_recipe_raises_anything_but_our_error(tmp_path_factory: pytest.TempPathFactory, data: bytes) -> None:
    path = tmp_path_factory.mktemp("fuzz") / "Dockerfile"
    path.write_bytes(data)

    def take(source: ContextSource) -> list[tuple[str, str]]:
        return [(each, "x") for each in source.paths]

    try:
        assert tree(parse(path), {}, take, {}, {}).digest
    except ConfigError as error:
        assert error.message.encode()


def test_a_short_text_stands_in_a_leaf_as_it_is_and_what_is_long_or_no_text_by_its_digest() -> None:
    assert value("RUN make") == "RUN make"
    assert value("x" * SHORT) == "x" * SHORT
    assert value("x" * (SHORT + 1)) == f"sha256:{sha256('x' * (SHORT + 1))}"
    assert value("caf\udce9") == f"sha256:{hashlib.sha256(b'caf' + bytes([0xE9])).hexdigest()}"


def test_an_instruction_in_another_encoding_is_an_input_as_any_other(write_stack: Callable[..., LoadedStack]) -> None:
    stack = write_stack({"one": "ARG BASE\nFROM ${BASE}\nRUN echo x\n"})
    path, keys = stack.root / "one/Dockerfile", set()
    for text in (b"caf\xe9", b"caf\xe8", b"caf\xe9"):
        path.write_bytes(b"ARG BASE\nFROM ${BASE}\nRUN echo " + text + b"\n")
        keys.add(key(read(stack, {})[0].planned.inputs, []))
    assert len(keys) == 2
