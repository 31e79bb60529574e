"""A failed log's cause and remedy. The lines are as the tools print them."""

import pytest

from arrstack.launch.diagnose import KNOWN, diagnose, useful_tail

CASES = [
    ("g++: fatal error: Killed signal terminated program cc1plus", "ran out of memory", "--jobs"),
    ("clang++-19: error: unable to execute command: Killed", "ran out of memory", "--jobs"),
    ("ERROR: context deadline exceeded", "time limit", "MAX_JOBS"),
    ("TIMEOUT", "time limit", "176"),
    ("  Compatibility with CMake < 3.5 has been removed from CMake.", "CMake below 3.5", "protobuf/cmake/CMakeLists.txt"),
    (
        "  CMake 3.27 or higher is required.  You are running version 3.22.1",
        "CMake 3.22.1 is older than the 3.27",
        "TOOLCHAIN_PIP",
    ),
    (
        "ImportError: libcudnn.so.9: cannot open shared object file: No such file or directory",
        "libcudnn.so.9 is not in the image",
        "cuDNN runtime base",
    ),
    (
        "ImportError: libcupti.so.12: cannot open shared object file: No such file or directory",
        "libcupti.so.12 is not in the image",
        "CUPTI",
    ),
    ("ModuleNotFoundError: No module named 'torch'", "no module torch", "PYTHONPATH"),
    ("ImportError: cannot import name 'x' from 'y'", "an import failed", "PYTHONPATH"),
    ("cc1plus: error: No space left on device", "the disk is full", "prune"),
    ("ssl.SSLCertVerificationError: [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed", "not trusted", "SSL_CERT_FILE"),
    ("E: Version '1.0' for 'libfoo' was not found", "no longer holds libfoo 1.0", "--refresh"),
    ("ERROR: THESE PACKAGES DO NOT MATCH THE HASHES FROM THE REQUIREMENTS FILE.", "not the one that the lock pins", "lock"),
    ("error: v1.0 of https://host/x is not the commit that stack.toml pins (a): it is b", "v1.0 of https://host/x is not", "pin"),
    ("error: x.tar.gz is not the file that stack.toml pins (sha256 0)", "x.tar.gz is not the file", "pin"),
    ("W: Temporary failure resolving 'archive'", "name server", "connection"),
    ("FAILED: [code=1] caffe2/x.cpp.o", "caffe2/x.cpp.o does not compile", "--compile-plan none"),
    ("/opt/pytorch/a.cpp:3:7: error: use of undeclared identifier 'x'", "a.cpp:3:7: error: use of undeclared", "compiler"),
]


@pytest.mark.parametrize(("line", "cause", "remedy"), CASES)
def test_a_known_line_has_a_cause_and_a_remedy(line: str, cause: str, remedy: str) -> None:
    found = diagnose(["[1/9] Building CXX object a.o", line, "ninja: build stopped: subcommand failed."])
    assert found
    assert cause in found.cause
    assert remedy in found.remedy
    assert found.number == 2


def test_every_known_cause_has_a_case() -> None:
    told = {next(known for known in KNOWN if known.expression.search(line)).cause for line, _, _ in CASES}
    general = {known.cause for known in KNOWN} - told
    assert general <= {"the shared library {0} is missing", "{0}", "the archive has no package {0}", "CMake stopped at {0}"}


def test_the_most_certain_cause_wins_wherever_it_stands() -> None:
    found = diagnose(["FAILED: a.o", "a.cpp:1:1: error: x", "g++: fatal error: Killed signal terminated program cc1plus"])
    assert found and "memory" in found.cause


def test_an_unknown_failure_has_none() -> None:
    assert diagnose(["all is well", ""]) is None


def test_the_tail_has_no_progress_in_it() -> None:
    assert useful_tail(["[1/2] x", "", "Get:1 http", "a.cpp: error"], 3) == ["a.cpp: error"]


def test_buildkits_logs_are_read_like_buildahs() -> None:
    lines = ["#9 0.512 [1/2] x", "#9 1.204 FAILED: [code=1] caffe2/x.cpp.o"]
    found = diagnose(lines)
    assert found and found.cause == "caffe2/x.cpp.o does not compile"
    assert useful_tail(lines) == lines[1:]
