"""Figures and truth of `verify`: time, peak memory, the ratio to NVIDIA's cuobjdump, and every entry compared with it.

    PYTHONPATH=src python bench/verify.py figures --cuobjdump PATH --wheel torch.whl --library big.so [--large 1500]
    PYTHONPATH=src python bench/verify.py truth --cuobjdump PATH [--cuobjdump OLDER ...] FILE_OR_DIRECTORY_OR_WHEEL ...
    PYTHONPATH=src python bench/verify.py table WHEEL ...

`figures` measures `verify` and `cuobjdump --list-elf --list-ptx` as processes of their own, in turn, three times each; `--large N`
first makes a library of N megabytes out of the fat binaries of `--library` (needs gcc). `truth` prints each file whose entries
differ, and the number of those. cuobjdump of CUDA 13 refuses what CUDA 11 made: name an older one besides.
"""

import argparse
import os
import re
import resource
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from arrstack.artifacts.blob import FileBlob
from arrstack.verify import verify
from arrstack.verify.elf import read_elf
from arrstack.verify.entries import Kind
from arrstack.verify.library import is_interesting, read_library

LISTED = re.compile(r"^(ELF|PTX) file .*\.(sm_\d+[af]?)\.\w+$", re.MULTILINE)
SECTIONS = (".nv_fatbin", "__nv_relfatbin", "file", "fatbin")
ONE_VERIFY = "import sys; from arrstack.verify import verify; verify(sys.argv[1]).as_dict()"


def measure(command: list[str]) -> tuple[float, float, int]:
    """(seconds, CPU-seconds, peak memory in MB) of a process."""
    start = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, _, usage = os.wait4(process.pid, 0)
    return time.perf_counter() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss // 1024


def best_of(command: list[str], times: int = 3) -> tuple[float, float, int]:
    runs = [measure(command) for _ in range(times)]
    return min(run[0] for run in runs), min(run[1] for run in runs), max(run[2] for run in runs)


def make_large(library: Path, megabytes: int, directory: Path) -> Path:
    """A shared library whose .nv_fatbin is that of `library`, as often as it takes."""
    elf = read_elf(FileBlob(library))
    section = elf.section(".nv_fatbin")
    assert section
    raw, assembly, out = directory / "fatbin.bin", directory / "large.s", directory / "liblarge.so"
    with raw.open("wb") as file:
        for at in range(section.offset, section.offset + section.size, 1 << 20):
            file.write(elf.blob.read(at, min(1 << 20, section.offset + section.size - at)))
    whole, rest = divmod(megabytes * 1_000_000, section.size)
    times = whole + bool(rest)
    assembly.write_text('.section .nv_fatbin,"a"\n.align 8\n' + f'.incbin "{raw}"\n' * times)
    subprocess.run(["gcc", "-shared", "-nostdlib", "-o", str(out), str(assembly)], check=True)
    raw.unlink()
    return out


def figures(options: argparse.Namespace) -> None:
    print(f"load average before: {os.getloadavg()[0]:.1f}, CPUs: {os.cpu_count()}")
    with tempfile.TemporaryDirectory(dir=options.scratch) as directory:
        libraries = [Path(options.library)]
        if options.large:
            libraries.append(make_large(libraries[0], options.large, Path(directory)))
        for library in libraries:
            ours = best_of([sys.executable, "-c", ONE_VERIFY, str(library)])
            theirs = best_of([options.cuobjdump[0], "--list-elf", "--list-ptx", str(library)])
            print(
                f"{library.name}, {library.stat().st_size / 1e9:.2f} GB: verify {ours[0]:.2f} s (CPU {ours[1]:.2f}), {ours[2]} MB"
            )
            print(f"  cuobjdump {theirs[0]:.2f} s (CPU {theirs[1]:.2f}), {theirs[2]} MB; ratio {ours[0] / theirs[0]:.3f}")
    wheel = Path(options.wheel)
    ours = best_of([sys.executable, "-c", ONE_VERIFY, str(wheel)])
    print(f"{wheel.name}, {wheel.stat().st_size / 1e6:.0f} MB: verify {ours[0]:.2f} s (CPU {ours[1]:.2f}), {ours[2]} MB")


def binaries(targets: list[str], scratch: str | None) -> Iterator[tuple[str, Path]]:
    """Every file that can hold GPU code: (name to print, path); members of wheels are unpacked one at a time."""
    for target in map(Path, targets):
        if target.is_dir():
            paths = sorted(path for path in target.rglob("*") if path.is_file() and not path.is_symlink())
            yield from ((str(path), path) for path in paths if has_magic(path))
        elif target.suffix == ".whl":
            with zipfile.ZipFile(target) as archive, tempfile.TemporaryDirectory(dir=scratch) as directory:
                for entry in archive.infolist():
                    with archive.open(entry) as file:
                        head = file.read(16)
                    if is_interesting("", head.ljust(16)):
                        path = Path(archive.extract(entry, directory))
                        yield f"{target.name}!{entry.filename}", path
                        path.unlink()
        else:
            yield str(target), target


def has_magic(path: Path) -> bool:
    with path.open("rb") as file:
        return is_interesting("", file.read(16).ljust(16))


def ours_of(path: Path) -> tuple[Counter[tuple[str, str]], Counter[str], list[str]]:
    library, problems = read_library(path.name, FileBlob(path))
    entries = [(code.section, entry) for code in library.code for entry in code.container.entries]
    # cuobjdump does not list LTO IR, and names the "f" of PTX alone.
    listed = Counter(
        ("PTX", entry.arch.sm) if entry.kind is Kind.PTX else ("ELF", entry.arch.sm.rstrip("f"))
        for section, entry in entries
        if section in SECTIONS and entry.kind is not Kind.LTO_IR
    )
    unseen = Counter(section for section, _ in entries if section not in SECTIONS)
    return listed, unseen, [problem.message for problem in problems if problem.level.value == "error"]


def theirs_of(path: Path, programs: list[str]) -> tuple[Counter[tuple[str, str]], str]:
    answer = ""
    for program in programs:
        done = subprocess.run([program, "--list-elf", "--list-ptx", "-all", str(path)], capture_output=True, text=True)
        if "fatal" not in done.stderr:
            return Counter(LISTED.findall(done.stdout)), ""
        answer = done.stderr.strip()
    return Counter(), answer


def truth(options: argparse.Namespace) -> None:
    files = entries = wrong = refused = 0
    seconds = [0.0, 0.0]
    for name, path in binaries(options.targets, options.scratch):
        start = time.perf_counter()
        ours, unseen, errors = ours_of(path)
        middle = time.perf_counter()
        theirs, refusal = theirs_of(path, options.cuobjdump)
        seconds[0] += middle - start
        seconds[1] += time.perf_counter() - middle
        files += 1
        entries += sum(ours.values())
        if refusal:
            refused += 1
            print(f"refused  {name}: {refusal}")
        elif ours != theirs or errors:
            wrong += 1
            print(f"DIFFERS  {name}: ours {dict(ours - theirs)}, cuobjdump {dict(theirs - ours)} {errors[:2]}")
        if unseen:
            print(f"besides  {name}: {dict(unseen)} entries in sections that cuobjdump does not read")
    print(f"{files} files, {entries} entries, {wrong} wrong, {refused} that no cuobjdump reads")
    print(f"verify {seconds[0]:.1f} s, cuobjdump {seconds[1]:.1f} s, ratio {seconds[0] / max(seconds[1], 1e-9):.2f}")
    sys.exit(1 if wrong else 0)


def table(options: argparse.Namespace) -> None:
    """One line of Markdown for each library with GPU code."""
    print("| file | library | machine code | PTX | L4 | H100 | B200 |\n|---|---|---|---|---|---|---|")
    for target in options.targets:
        report = verify(target).as_dict()
        for library in report["libraries"]:
            sm = " ".join(name.removeprefix("sm_") for name in library["sm"])
            ptx = " ".join(name.removeprefix("compute_") for name in library["ptx"])
            modes = [report_mode(library["gpus"], model) for model in ("L4", "H100", "B200")]
            print(
                f"| {Path(target).name.split('-cp')[0].split('-py3')[0]} | `{library['path']}` | {sm} | {ptx} | {' | '.join(modes)} |"
            )
    print(f"peak memory {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024} MB", file=sys.stderr)


def report_mode(gpus: dict[str, str], model: str) -> str:
    return gpus.get(model, "")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(required=True)
    for name, function in (("figures", figures), ("truth", truth), ("table", table)):
        command = commands.add_parser(name)
        command.set_defaults(run=function)
        command.add_argument("--cuobjdump", action="append", default=[])
        command.add_argument("--scratch", help="where large files may be written for a while")
        if name == "figures":
            command.add_argument("--wheel", required=True)
            command.add_argument("--library", required=True)
            command.add_argument("--large", type=int, default=0)
        else:
            command.add_argument("targets", nargs="+")
    options = parser.parse_args()
    options.run(options)


if __name__ == "__main__":
    main()
