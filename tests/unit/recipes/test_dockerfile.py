"""Stages, what they read of each other, and what is wrong with a recipe, said with its line."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from arrstack.errors import ConfigError
from arrstack.recipes.dockerfile import Dockerfile, parse

PIECES = (
    b"FROM a|FROM a AS b|\nFROM b\n|\n|\n| |\t|\\|\\\n|`|\"|'|#|ARG A=|ARG |$A|${A:-x}|${A#*x}|COPY |ADD |RUN |--from=b |--from=0 |--mount=|type=bind,|"
    b'from=b,|source=|target=/x|id=a/b|ONBUILD |ENV A=b|LABEL |<<E|\nE\n|[|]|"a"|,|*|?|\xe9|\0|--platform=|HEALTHCHECK |EXPOSE 1|SHELL []'
).split(b"|")


def recipe(tmp_path: Path, text: str, **args: str) -> Dockerfile:
    path = tmp_path / "Dockerfile"
    path.write_text(text)
    return parse(path, args)


def test_a_stage_knows_what_it_reads(tmp_path: Path) -> None:
    found = recipe(
        tmp_path,
        "ARG B=x\nFROM $B AS one\nFROM x AS two\nFROM one AS three\nCOPY --from=two /a /b\nRUN --mount=from=one,target=/x true\nFROM scratch\nCOPY --from=three / /\n",
    )
    assert found.stage("three").stages == {"one", "two"}
    assert [stage.name for stage in found.closure()] == ["one", "two", "three", "image"]
    assert [stage.name for stage in found.closure("two")] == ["two"]


@pytest.mark.parametrize(
    ("text", "apart"),
    [
        ("FROM p\nRUN true\n", ()),
        ("FROM x AS a\nFROM p\nCOPY --from=a / /\n", ("a",)),
        ("FROM x AS a\nFROM a AS b\nFROM p\nRUN --mount=from=b,target=/b true\n", ("b",)),
        ("FROM x AS a\nFROM a AS b\nFROM p\nCOPY --from=a / /\nRUN --mount=from=b,target=/b true\n", ("a", "b")),
        ("FROM p AS a\nFROM x\nCOPY --from=a / /\n", ()),
        ("FROM x AS a\nFROM p AS b\nCOPY --from=a / /\nFROM b\n", ("a",)),
        ("FROM x AS a\nFROM x AS unread\nCOPY --from=a / /\nFROM p\n", ()),
    ],
)
def test_what_can_be_finished_before_the_parent_exists(tmp_path: Path, text: str, apart: tuple[str, ...]) -> None:
    assert recipe(tmp_path, text).apart_from("p") == apart


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", ":1: a recipe begins with FROM"),
        ("\\\n", ":1: a line continues, and nothing follows it"),
        ("ARG A=1\n", ":1: a recipe begins with FROM"),
        ("RUN true\nFROM a\n", ":1: RUN stands before FROM"),
        ("FROM a\nRUNN true\n", ":2: unknown instruction RUNN"),
        ("FROM a\nCOPY x\n", ":2: COPY needs at least 2"),
        ("FROM a AS\n", ":1: FROM takes IMAGE"),
        ("FROM ${NOPE}\n", ":1: nothing declares the argument 'NOPE'"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match="Dockerfile") as error:
        recipe(tmp_path, text)
    assert said in error.value.message
    assert error.value.status == 2


def test_a_missing_recipe_is_no_traceback(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no recipe"):
        parse(tmp_path / "Dockerfile")


@pytest.mark.parametrize(
    "text",
    [
        "FROM a AS 1x",
        "FROM a AS scratch",
        "FROM --platfrom=x a",
        "FROM --platform=a/b/c/d a",
        "FROM 'a",
        "FROM a\nENV =x",
        "FROM a\nARG 'A'=x",
        "FROM a\nONBUILD FROM b",
        "FROM a\nONBUILD ONBUILD RUN b",
        "FROM a\nONBUILD",
        "FROM a\nMAINTAINER --boo x",
        "FROM a\nCOPY a <<EOF\nEOF",
        "FROM a\nCOPY --from=$X a /b",
        "FROM a\nCOPY --chmod a /b",
        "FROM a\nCOPY --link=yes a /b",
        "FROM a\nCOPY --chown=1 --chown=2 a /b",
        "FROM a\nADD --from=x a /b",
        "FROM a\nRUN --mount=from=$X,target=/x true",
        "FROM a AS x\nFROM b\nRUN --mount=from=0,target=/x true",
        "FROM a\nRUN --network=lan true",
        "FROM a\nRUN --security=none true",
        "FROM a\nCOPY --chmod=999 a /b",
        "FROM a\nHEALTHCHECK --interval=5 CMD a",
        "FROM a\nHEALTHCHECK --retries=-1 CMD a",
        "FROM a\nSTOPSIGNAL 1 2",
        "FROM a\nSHELL /bin/sh -c",
        "FROM a\nEXPOSE a/b/c",
        'FROM a\nVOLUME [" "]',
        "FROM a\nHEALTHCHECK FOO",
        "FROM a\nHEALTHCHECK CMD",
        "FROM a\nHEALTHCHECK NONE x",
        "FROM a\nCMD --x y",
    ],
)
def test_what_an_engine_refuses_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match=r"Dockerfile:\d+: "):
        recipe(tmp_path, text)


@pytest.mark.parametrize(
    "text",
    [
        "FROM a\nEXPOSE $P 8-9/udp",
        "FROM a\nCOPY --chmod=u=rwX a /b",
        "FROM a\nHEALTHCHECK --interval=1m30s --timeout=0.5s CMD a",
        "FROM a\nCMD []\nENTRYPOINT []",
        "FROM a\nARG --x A",
        "FROM --platform=linux a",
    ],
)
def test_what_an_engine_builds_is_accepted(tmp_path: Path, text: str) -> None:
    assert recipe(tmp_path, text).stages


def test_a_stage_s_name_is_its_own(tmp_path: Path) -> None:
    """Leaves begin with it: two stages of one name would hide each other's."""
    found = recipe(tmp_path, "FROM a AS x\nFROM b AS X\nFROM c AS image\nFROM d\nFROM x\nCOPY --from=x / /\n")
    assert [stage.name for stage in found.stages] == ["x", "x#2", "image", "3", "image#2"]
    assert found.stages[-1].stages == {"x", "x#2"}
    assert [stage.name for stage in recipe(tmp_path, "FROM a AS x\nFROM b AS x\n").closure()] == ["x", "x#2"]
    with pytest.raises(ConfigError, match="there are 2 stages 'x'"):
        found.stage("x")


@pytest.mark.parametrize("base", ['"st"', "'st'", "s\\t", 's"t"', "${A}", "ST", "${B-st}", "${A%x}"])
def test_a_stage_is_known_however_its_name_is_written(tmp_path: Path, base: str) -> None:
    found = recipe(tmp_path, f"ARG A=st\nFROM x AS st\nFROM {base}\n")
    assert found.stages[1].bases == {"st"} and found.stages[1].image == ""


def test_platform_arguments_have_values_in_from(tmp_path: Path) -> None:
    found = recipe(
        tmp_path, "ARG I=a-$TARGETARCH\nFROM --platform=$BUILDPLATFORM b-$TARGETOS-$TARGETARCH$TARGETVARIANT\nFROM $I\n"
    )
    assert (found.stages[0].image, found.stages[0].platform) == ("b-linux-amd64", "linux/amd64 by $BUILDPLATFORM")
    # buildah gives it no value in an argument before FROM: the leaf holds what either reads.
    assert found.stages[1].image == "a-amd64 or a-"


def test_what_a_base_s_own_recipe_says_behind_onbuild_comes_first(tmp_path: Path) -> None:
    below = recipe(tmp_path, "FROM x AS a\nONBUILD RUN no\nFROM a\nONBUILD COPY one /\nONBUILD RUN <<E\ntwo\nE\n").stages[-1]
    assert [i.name for i in below.instructions] == ["RUN", "ONBUILD", "ONBUILD"]
    path = tmp_path / "Dockerfile"
    path.write_text("ARG P=p\nFROM $P\nRUN three\n")
    stage = parse(path, {}, {"p": below.triggers}).stages[0]
    assert [i.text for i in stage.instructions] == ["COPY one /", "RUN <<E\ntwo\nE", "RUN three"]


@pytest.mark.parametrize(
    ("text", "starts"),
    [
        ("FROM scratch\nCOPY data /data\n", False),
        ('FROM scratch\nCMD ["/data"]\n', True),
        ('FROM debian AS below\nENTRYPOINT ["/bin/sh"]\nFROM below\n', True),
        ("FROM debian AS other\nCMD x\nFROM debian\nCOPY --from=other /x /x\n", False),
    ],
)
def test_an_image_gets_a_command_of_its_own_stage_or_of_one_below(tmp_path: Path, text: str, starts: bool) -> None:
    assert recipe(tmp_path, text).starts_something is starts


def test_what_is_no_file_is_not_read(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").symlink_to("/dev/zero")
    with pytest.raises(ConfigError, match="is no file"):
        parse(tmp_path / "Dockerfile")


@settings(deadline=2_000)
@example(b"\\")
@example(b"FROM a\nCOPY --from=" + b"9" * 5000 + b" a /b")
@given(st.binary(max_size=200) | st.lists(st.sampled_from(PIECES), max_size=12).map(b"".join))
def test_no_bytes_make_the_parser_raise_anything_but_our_error(data: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "Dockerfile")
        path.write_bytes(data)
        try:
            assert parse(path, {"A": "x"}).stages
        except ConfigError as error:
            assert str(path) in error.message
            assert error.message.encode()
