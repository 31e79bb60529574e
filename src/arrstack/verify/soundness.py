"""Whether the libraries can run at all: what they need, where they look for it, and what contradicts itself."""

import posixpath
import re
from collections import Counter
from collections.abc import Iterable, Iterator

from arrstack.artifacts.files import Level, Problem
from arrstack.verify.facts import Facts, Library, Package
from arrstack.verify.loader import Finder
from arrstack.verify.needs import platforms, sonames
from arrstack.verify.policy import Policy, is_judged, matches

_OPENMP = re.compile(r"lib(gomp|omp|iomp5)[-.]")
TORCH = "torch"
LOADED = "importing the package loads that first"
MAX_RUNTIMES = 8
"""OpenMP runtimes of one target that are followed to who needs them: two are too many."""


def check_soundness(facts: Facts, policy: Policy, *, torch_has_gpu_code: bool = False) -> Iterator[Problem]:
    """Every finding that does not depend on the list of architectures; `torch_has_gpu_code` that a torch beside it has some."""
    defect = Level.ERROR if policy.strict else Level.WARNING
    yield from _build_tree_paths(facts, policy, defect)
    yield from _unresolved(facts, policy)
    yield from _openmp_runtimes(facts)
    yield from _packages_without_gpu_code(facts, policy, torch_has_gpu_code or torch_has_code(facts))
    yield from _contradicting_versions(facts)
    yield from _contradicting_processors(facts)


def _build_tree_paths(facts: Facts, policy: Policy, defect: Level) -> Iterator[Problem]:
    for library in facts.libraries:
        for path in library.elf.search if library.elf else ():
            if path.startswith("/") and not _is_below(path, policy.system_directories):
                level = defect if is_judged(library, facts, policy) else Level.NOTE
                message = f"its RPATH names {path}, a directory of the machine that built it"
                yield Problem(level, library.path, message, "set it to $ORIGIN and relative paths (patchelf --set-rpath)")


def _is_below(path: str, directories: Iterable[str]) -> bool:
    return any(path == directory or path.startswith(f"{directory}/") for directory in directories)


def _unresolved(facts: Facts, policy: Policy) -> Iterator[Problem]:
    finder = Finder(facts)
    elsewhere: dict[str, str] = {}
    for library in facts.libraries:
        astray: list[str] = []
        for needed in library.elf.needed if library.elf else ():
            if matches(needed, policy.driver_libraries) or finder.finds(library, needed):
                continue
            if facts.is_system and is_judged(library, facts, policy):
                if finder.is_present(needed):
                    astray.append(needed)
                else:
                    yield Problem(
                        Level.ERROR, library.path, f"needs {needed}, which is nowhere", "install it, or build without it"
                    )
            elif not facts.is_system and not finder.is_present(needed) and not matches(needed, policy.system_libraries):
                elsewhere.setdefault(needed, library.path)
        if astray:
            message = f"needs what is there but in no directory that the loader searches for it: {', '.join(astray)}"
            loaded = all(_is_loaded_before(library, finder.places(name), policy) for name in astray)
            level, hint = (Level.NOTE, LOADED) if loaded else (Level.WARNING, "it loads only if something loaded that before")
            yield Problem(level, library.path, message, hint)
    if elsewhere and facts.source != "library":
        names = ", ".join(sorted(elsewhere))
        yield Problem(Level.NOTE, facts.target, f"needs libraries from elsewhere: {names}", "of the system or of other packages")


def _is_loaded_before(library: Library, places: Iterable[str], policy: Policy) -> bool:
    """Whether a needed library lies where importing the package has loaded it by then: in torch, which torchvision and torchaudio import
    first, or in the package itself, which loads its own in order."""
    for package in policy.gpu_packages:
        site, found, _ = f"/{library.path}".rpartition(f"/{package}/")
        if found and package != TORCH:
            return any(f"/{place}/".startswith((f"{site}/{TORCH}/", f"{site}/{package}/")) for place in places)
    return False


def _openmp_runtimes(facts: Facts) -> Iterator[Problem]:
    users = _users(facts)
    brought: dict[str, set[str]] = {}
    for name in sorted(name for name in users if _OPENMP.match(name))[:MAX_RUNTIMES]:
        for library in _all_users(name, users):
            brought.setdefault(library.path, set()).add(name)
    reported: set[frozenset[str]] = set()
    for path, names in sorted(brought.items()):
        runtimes = frozenset(names)
        if len({_same_runtime(name) for name in runtimes}) > 1 and runtimes not in reported:
            reported.add(runtimes)
            message = f"brings two OpenMP runtimes into one process: {' and '.join(sorted(runtimes))}"
            yield Problem(Level.WARNING, path, message, "two pools of threads compete, unless one only stands in for the other")


def _users(facts: Facts) -> dict[str, list[Library]]:
    """By the name of a library, those that need it."""
    users: dict[str, list[Library]] = {}
    for library in facts.libraries:
        for name in library.elf.needed if library.elf else ():
            users.setdefault(name, []).append(library)
    return users


def _all_users(name: str, users: dict[str, list[Library]]) -> list[Library]:
    """The libraries that need one of this name, themselves or by what they need."""
    found: dict[str, Library] = {}
    names = {name}
    waiting = [name]
    while waiting:
        for library in users.get(waiting.pop(), ()):
            if library.path not in found:
                found[library.path] = library
                for known_as in {library.name, library.elf.soname if library.elf else ""} - names:
                    names.add(known_as)
                    waiting.append(known_as)
    return list(found.values())


def _same_runtime(name: str) -> str:
    match = _OPENMP.match(name)
    # auditwheel renames what it bundles (libgomp-a34b3233.so.1): another copy is another runtime.
    return name if "-" in name.split(".so")[0] else (match[1] if match else name)


def torch_has_code(facts: Facts) -> bool:
    """Whether a torch in it, or in a wheel that lies in it, carries GPU code."""
    here = any(package.name == "torch" and _has_gpu_code(package, facts) for package in facts.packages)
    return here or any(torch_has_code(wheel) for wheel in facts.wheels)


def _packages_without_gpu_code(facts: Facts, policy: Policy, torch_has: bool) -> Iterator[Problem]:
    for package in facts.packages:
        if package.name not in policy.gpu_packages or _has_gpu_code(package, facts):
            continue
        if torch_has or _says_cuda(package):
            message = f"{package.name} carries no GPU code, though " + (
                "torch beside it does" if torch_has else "its version says that it was built for CUDA"
            )
            hint = (
                "a build machine without a GPU leaves it out unless FORCE_CUDA=1 (torchvision) or USE_CUDA=1 (torchaudio) is set"
            )
            yield Problem(Level.ERROR, package.path, message, hint)


def _has_gpu_code(package: Package, facts: Facts) -> bool:
    directory = posixpath.dirname(package.path)
    return any(library.has_gpu_code and library.path.startswith(f"{directory}/") for library in facts.libraries)


def _says_cuda(package: Package) -> bool:
    versions = dict(package.versions)
    return bool(versions.get("cuda")) or bool(re.search(r"\+cu\d", versions.get("__version__") or ""))


def _contradicting_versions(facts: Facts) -> Iterator[Problem]:
    needed = {int(match[1]) for library in facts.libraries for match in sonames(library, "libcudart")}
    for package in facts.packages:
        cuda = dict(package.versions).get("cuda")
        if package.name == "torch" and cuda and needed and cuda.split(".")[0] not in {str(major) for major in needed}:
            majors = ", ".join(f"libcudart.so.{major}" for major in sorted(needed))
            yield Problem(Level.ERROR, package.path, f"torch.version.cuda is {cuda}, its libraries need {majors}")
    if len(needed) > 1:
        majors = ", ".join(str(major) for major in sorted(needed))
        yield Problem(Level.WARNING, facts.target, f"its libraries need the runtimes of several CUDA versions: {majors}")


def _contradicting_processors(facts: Facts) -> Iterator[Problem]:
    counts = Counter(library.elf.machine for library in facts.libraries if library.elf and library.elf.machine != "cuda")
    if len(counts) > 1 and not facts.is_system:
        names = ", ".join(f"{name} ({count})" for name, count in counts.most_common())
        yield Problem(Level.WARNING, facts.target, f"its libraries are for several processors: {names}")
    tagged = {platform.cpu for platform in platforms(facts) if platform.cpu}
    if tagged and counts and tagged.isdisjoint(counts):
        message = f"its tag says {', '.join(sorted(tagged))}, its libraries are for {', '.join(counts)}"
        yield Problem(Level.ERROR, facts.target, message, "pip installs it where it cannot be loaded")


def cpu_capabilities(facts: Facts) -> tuple[str, ...]:
    """The CPU capabilities that PyTorch's kernels were built for, the least first."""
    return max((library.elf.capabilities for library in facts.libraries if library.elf), key=len, default=())
