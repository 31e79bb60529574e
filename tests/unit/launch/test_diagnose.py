"""A failed log's cause and remedy. The lines are as the tools print them."""

import io
import re
import time
from collections import Counter

import pytest

from arrstack.launch.diagnose import diagnose, read_lines, useful_tail
from arrstack.launch.diagnose.lines import LONGEST, READ, Heard, without_prefixes
from arrstack.launch.diagnose.rules import Book, Rule, needle
from arrstack.launch.diagnose.table import RULES


def cause_of(*lines: str) -> str:
    found = diagnose(lines)
    return found.rule if found else ""


def told(example: str) -> list[str]:
    return [said.text for said in Heard().listen(example.split("\n"))]


# The rules


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_is_found_by_each_of_its_own_lines(rule: Rule) -> None:
    assert {line: cause_of(*line.split("\n")) for line in rule.lines} == dict.fromkeys(rule.lines, rule.name)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_each_expression_of_a_rule_has_a_line_that_meets_it(rule: Rule) -> None:
    lines = [text for line in rule.lines for text in told(line)]
    assert [text for text in rule.says if not any(re.search(text, line, re.IGNORECASE) for line in lines)] == []


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.name)
def test_a_rule_says_what_to_do_and_leaves_no_gap(rule: Rule) -> None:
    for line in rule.lines:
        found = diagnose(line.split("\n"))
        assert found and found.cause and not re.search(r"(?<!\$)\{", found.cause)
        assert not found.cause.endswith(":"), "what the line does not say leaves no mark"
        assert bool(found.remedy) or found.guess


def test_rules_have_names_of_their_own_and_follow_groups_that_there_are() -> None:
    assert [name for name, count in Counter(rule.name for rule in RULES).items() if count > 1] == []
    assert {group for rule in RULES for group in rule.follows} <= {rule.group for rule in RULES}


@pytest.mark.parametrize(
    ("expression", "plain"),
    [
        (r"^No space (left)? on [Dd]evice", "no space "),
        (r"a|bcd", ""),
        (r"(?:abc|defg) hij", " hij"),
        (r"(?:abcdef)? hij", " hij"),
        (r"(?:x(?P<y>abcdef)) hij", "abcdef"),
        (r"(?!abcdef)hij", "hij"),
        (r"abcde{0,3}f\.g", "abcd"),
        (r"ab+c", "ab"),
        (r"ab\d{1,3}cde", "cde"),
        (r"[abc]+de", "de"),
    ],
)
def test_a_needle_is_in_every_match(expression: str, plain: str) -> None:
    assert needle(expression) == plain


def test_a_book_passes_over_no_rule_that_a_line_meets() -> None:
    book = Book(RULES)
    expressions = [(rule, re.compile(text, re.IGNORECASE)) for rule in RULES for text in rule.says]
    for line in (text for rule in RULES for example in rule.lines for text in told(example)):
        first = next((rule for rule, expression in expressions if expression.search(line)), None)
        found = book.find(line)
        assert (found[0].name if found else None) == (first.name if first else None)


INSTALL = "apt-get update && apt-get install -y nosuchpackage"
BUILDAH = ("STEP 1/2: FROM base", f"STEP 2/2: RUN {INSTALL}", "E: Unable to locate package nosuchpackage")


@pytest.mark.parametrize(
    ("log", "updated"),
    [
        (BUILDAH, True),
        ([line.replace("apt-get update", "apt-get -qq update") for line in BUILDAH], True),
        ([*BUILDAH, f'Error: building at STEP "RUN {INSTALL}": while running runtime: exit status 100'], True),
        (["#6 [2/3] RUN " + INSTALL, "#6 0.3 E: Unable to locate package nosuchpackage"], True),
        ([line.replace("apt-get update && ", "") for line in BUILDAH], False),
        (["STEP 1/3: FROM base", "STEP 2/3: RUN apt-get update", "STEP 3/3: RUN apt-get install -y x", BUILDAH[-1]], False),
        (
            [
                "#6 [a 2/3] RUN apt-get update",
                "#7 [b 2/3] RUN apt-get install -y x",
                "#7 0.3 E: Unable to locate package x",
                "#8 [c 2/3] RUN apt-get update",
                'ERROR: process "/bin/sh -c apt-get install -y x" did not complete successfully: exit code: 100',
            ],
            False,
        ),
    ],
)
def test_an_update_that_the_failed_command_has_is_not_advised(log: list[str], updated: bool) -> None:
    found = diagnose(log)
    assert found and found.rule == "apt-package"
    assert ("apt-get update" in found.remedy) is not updated
    assert ("`components`" in found.remedy) is updated


# What builders put before a line


@pytest.mark.parametrize(
    "prefix",
    [
        "#8 245.6 ",
        "245.6 ",
        "Step #0: ",
        'Step #0 - "build": ',
        'Step #0 - "build": #8 245.6 ',
        "2024-04-26T02:20:01.5300000Z ",
        "2024-04-26 02:20:01,530 ",
        "[2024-04-26T02:20:01.530Z] ",
        "2024-04-26T02:20:01.530000Z 01O ",
        "build\tRun make\t2024-04-26T02:20:01.5300000Z ",
        "14:55:12 ",
        "[14:55:12] ",
        "INFO[0154] ",
        "ERRO[0154] ",
        "Apr  6 02:20:01 host kernel: ",
        "[  +0.000304] ",
        "[12345.678901] ",
        "I0109 16:13:35.685701 8493928320 docker.py:89] 6.100 ",
        "##[error]",
        "web_1  | ",
        "2026/01/02 02:20:01 ",
        "[Fri Nov 27 02:20:01 2026] ",
        "(02:20:01) ",
        "[step-build] ",
        "    ",
        "  │ ",
        "\x1b[91m",
        "\x1b[1m\x1b[31m#8 245.6 \x1b[0m",
        "E   ",
    ],
)
def test_a_builders_prefix_is_taken_off(prefix: str) -> None:
    assert without_prefixes(prefix + "Killed").strip() == "Killed"
    assert cause_of(prefix + "Killed") == "memory"


def test_what_a_line_was_before_it_was_written_over_counts() -> None:
    assert cause_of("10%\r20%\rfatal: early EOF\r") == "git-broke-off"


@pytest.mark.parametrize(
    "line",
    [
        "+ grep -c 'No space left on device' log",
        'Step 4/9 : RUN test "Killed" || echo "Connection refused"',
        "#8 [4/9] RUN echo 'manifest unknown'",
        "STEP 4/9: RUN echo 'manifest unknown'",
        "  138 | #error -- unsupported GNU version! gcc versions later than 8 are not supported!",
        "/usr/bin/nvcc -DX='fatal error: x.h: No such file or directory' -c x.cu -o x.o",
        "[812/7400] Building CXX object toomanyrequests.cc.o",
    ],
)
def test_a_command_that_is_only_repeated_was_said_by_nobody(line: str) -> None:
    assert diagnose([line]) is None


# Which of several


def test_the_line_after_failed_is_the_cause() -> None:
    found = diagnose(
        ["[1/2] x", "FAILED: [code=1] a/x.o", "/usr/bin/c++ -c x.cc -o x.o", "strange things happen", "ninja: build stopped"]
    )
    assert found and found.cause == "a/x.o does not compile: strange things happen"
    assert found.number == 4


def test_a_failed_edge_without_a_word_is_named() -> None:
    found = diagnose(
        ["#9 0.512 [1/2] x", "#9 1.204 FAILED: [code=1] caffe2/x.cpp.o", "#9 1.3 ninja: build stopped: subcommand failed."]
    )
    assert found and found.cause.startswith("caffe2/x.cpp.o does not compile")
    assert found.number == 2


def test_the_lines_after_cmakes_are_the_cause() -> None:
    found = diagnose(
        ["CMake Error at CMakeLists.txt:31 (message):", "  Nothing here", "  fits.", "", "", "-- Configuring incomplete"]
    )
    assert found and found.cause == "CMake stopped at CMakeLists.txt:31 (message): Nothing here fits."
    assert found.number == 2


def test_a_warning_of_cmake_is_none_of_its_errors() -> None:
    lines = [
        "CMake Warning at a.cmake:1 (message):",
        "  Cannot find cuDNN library.",
        "CMake Error at b.cmake:2 (message):",
        "  strange",
    ]
    assert cause_of(*lines) == "cmake"
    assert cause_of(*lines[:2]) == "cudnn-not-found"


def test_memory_wins_wherever_it_stands() -> None:
    assert (
        cause_of("FAILED: a.o", "/a.cpp:1:1: error: x", "g++: fatal error: Killed signal terminated program cc1plus") == "memory"
    )
    assert cause_of("Killed", "/a.cpp:1:1: error: x") == "memory"


def test_the_last_error_beats_an_overcome_one() -> None:
    lines = [
        "OSError: [Errno 101] Network is unreachable",
        "Successfully installed x",
        "/a.cpp:1:1: error: use of undeclared identifier 'x'",
    ]
    assert cause_of(*lines) == "compile"
    assert cause_of(lines[2], "STEP 4/9: RUN y", lines[0]) == "network"


def test_a_handled_import_is_overcome_when_the_compile_goes_on() -> None:
    assert cause_of("ModuleNotFoundError: No module named 'x'", "[2/9] Building CXX object x", "FAILED: y.o", "odd") == "edge"


def test_what_the_build_went_on_after_is_a_guess_and_a_warning_then_nothing() -> None:
    found = diagnose(["/bin/sh: 1: git: not found", "[1/3] Building CXX object a.o", "make: *** [all] Error 1"])
    assert found and (found.rule, found.guess) == ("git-missing", True)
    assert (
        diagnose(["x.py:3: UserWarning: _ARRAY_API not found", "[1/3] Building CXX object a.o", "make: *** [all] Error 1"])
        is None
    )


@pytest.mark.parametrize(
    "note",
    [
        "arrstack: a.o: its files do not compile together, so one by one: clang++: error: unable to execute command: Killed",
        "arrstack: a.cu.o: nvcc compiles it whole: host_config.h:157:2: error: -- unsupported clang version!",
        "arrstack: a.cu: x is not kept: [Errno 28] No space left on device",
    ],
)
def test_what_our_own_compile_went_round_is_no_error(note: str) -> None:
    assert cause_of(note, "/a.cpp:1:1: error: use of undeclared identifier 'x'") == "compile"


def test_a_warning_of_cmake_is_not_shown_as_an_error() -> None:
    assert (
        diagnose(["CMake Warning at a.cmake:140 (message):", "  Failed to compute shorthash for libnvrtc.so", "-- Looking for x"])
        is None
    )


@pytest.mark.parametrize(
    "mark", ["##[warning]", "WARN[0001] ", 'time="2026-01-02T02:20:01Z" level=warning msg="', "::warning::", "warning: "]
)
def test_a_builders_warning_is_no_error(mark: str) -> None:
    assert (
        cause_of(f"{mark}Cache service responded with 429", "x.cpp:1:10: fatal error: zlib.h: No such file or directory")
        == "header-missing"
    )
    assert (
        cause_of("x.cpp:1:10: fatal error: zlib.h: No such file or directory", f"{mark}Cache service responded with status 429")
        == "header-missing"
    )


def test_what_another_failure_brings_about_is_not_the_cause() -> None:
    warned = "WARNING: Retrying (Retry(total=0)) after connection broken by 'SSLError(1, '[SSL: CERTIFICATE_VERIFY_FAILED] x')'"
    missing = "ERROR: No matching distribution found for mkdocs==1.2.2"
    assert cause_of(warned, missing) == "tls-untrusted"
    assert cause_of(missing) == "pip-no-version"
    assert cause_of(warned, "Successfully installed x", missing) == "pip-no-version"


def test_a_pulls_deadline_is_not_the_builds() -> None:
    assert cause_of('Get "https://registry-1.docker.io/v2/": context deadline exceeded') == "registry-slow"
    assert cause_of("ERROR: context deadline exceeded") == "time-limit"


def test_the_tests_of_a_time_limit_are_none() -> None:
    assert diagnose(["timeout: 300.0s", "timeout method: signal"]) is None


def test_an_unknown_failure_is_only_echoed() -> None:
    found = diagnose(["error: the moon is full"])
    assert found and (found.cause, found.remedy, found.guess) == ("the moon is full", "", True)
    assert diagnose(["all is well", ""]) is None


def test_numbers_are_those_of_the_log() -> None:
    lines = "a\rb\nc\x0bd\x85e\nKilled\n"
    found = diagnose(read_lines(io.StringIO(lines, newline="\n")))
    assert found and found.number == 3


# Time and memory


HOSTILE = {
    "libraries": ".so" * 70000,
    "library lines": "libcudnn.so: " * 20000,
    "brackets": "[" * 200000,
    "blanks": " " * 200000,
    "prefixes": "#8 1.2 " * 30000,
    "steps": 'Step #0 - "' * 20000,
    "escapes": "\x1b[" * 100000,
    "titles": "\x1b]" * 100000,
    "quotes": "'" * 200000,
    "colons": "a:" * 100000,
    "edges": "FAILED: " * 25000,
    "errors": "error: " * 30000,
    "CMake": "CMake Error " * 17000,
    "paths": "a/" * 100000,
    "compilers": "/usr/bin/g++ " * 16000,
    "digits": "1" * 200000,
    "dots": "1." * 100000,
    "returns": "x\r" * 100000,
    "bars": "| " * 100000,
    "boxes": "│" * 200000,
}


@pytest.mark.parametrize("shape", HOSTILE)
def test_no_line_takes_long(shape: str) -> None:
    line = HOSTILE[shape]
    diagnose([line])  # compiles the expressions that it meets
    began = time.process_time()
    diagnose([line, *[line[:LONGEST]] * 20])
    useful_tail([line] * 20)
    assert time.process_time() - began < 2


def test_no_rules_own_words_said_without_end_take_long() -> None:
    lines = [(text * (LONGEST // len(text) + 1))[:LONGEST] for rule in RULES for text in rule.lines]
    diagnose(lines)
    began = time.process_time()
    diagnose(lines)
    assert (time.process_time() - began) / len(lines) < 0.02


def test_a_line_without_end_is_read_in_pieces() -> None:
    lines = list(read_lines(io.StringIO("x" * (5 * READ) + " exit code: 137\nb\n", newline="\n")))
    assert [len(line) <= 2 * READ + 1 for line in lines] == [True, True]
    assert lines[0].endswith("exit code: 137\n")


# The tail


def test_the_tail_has_no_progress_in_it() -> None:
    assert useful_tail(
        ["[1/2] x", "", "Get:1 http", "a.cpp: error", "ARRSTACK edge: 1\t2", "ARRSTACK cache: 1 hits of 2"], 3
    ) == ["a.cpp: error"]
    assert useful_tail(["#9 0.512 [1/2] x", "#9 1.204 FAILED: x.o"]) == ["#9 1.204 FAILED: x.o"]
