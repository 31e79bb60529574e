"""Whether the libraries can run at all: what they need, where they look for it, and what contradicts itself."""

import posixpath
import re
from collections.abc import Iterable, Iterator

from arrstack.artifacts.files import Level, Problem
from arrstack.verify.facts import Facts, Library, Package
from arrstack.verify.fatbin import Kind
from arrstack.verify.policy import Policy, matches

_OPENMP = re.compile(r"lib(gomp|omp|iomp5)[-.]")
_DEFAULT_DIRECTORIES = (
    "lib",
    "usr/lib",
    "lib64",
    "usr/lib64",
    "lib/x86_64-linux-gnu",
    "usr/lib/x86_64-linux-gnu",
    "usr/local/lib",
)


def check_soundness(facts: Facts, policy: Policy) -> Iterator[Problem]:
    """Every finding that does not depend on the list of architectures."""
    defect = Level.ERROR if policy.strict else Level.WARNING
    yield from _build_tree_paths(facts, policy, defect)
    yield from _unresolved(facts, policy)
    yield from _openmp_runtimes(facts)
    yield from _packages_without_gpu_code(facts, policy)
    yield from _contradicting_versions(facts)


def _build_tree_paths(facts: Facts, policy: Policy, defect: Level) -> Iterator[Problem]:
    for library in facts.libraries:
        for path in library.elf.search if library.elf else ():
            if path.startswith("/") and not _is_below(path, policy.system_directories):
                level = defect if _is_judged(library, facts, policy) else Level.NOTE
                message = f"its RPATH names {path}, a directory of the machine that built it"
                yield Problem(level, library.path, message, "set it to $ORIGIN and relative paths (patchelf --set-rpath)")


def _is_below(path: str, directories: Iterable[str]) -> bool:
    return any(path == directory or path.startswith(f"{directory}/") for directory in directories)


def _is_judged(library: Library, facts: Facts, policy: Policy) -> bool:
    return policy.is_ours(library.path) if facts.source == "image" else not policy.is_vendor(library.path)


def _unresolved(facts: Facts, policy: Policy) -> Iterator[Problem]:
    finder = _Finder(facts)
    elsewhere: dict[str, str] = {}
    for library in facts.libraries:
        astray: list[str] = []
        for needed in library.elf.needed if library.elf else ():
            if matches(needed, policy.driver_libraries) or finder.finds(library, needed):
                continue
            if facts.is_system and _is_judged(library, facts, policy):
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
            yield Problem(Level.WARNING, library.path, message, "it loads only if something loaded that before")
    if elsewhere and facts.source != "library":
        names = ", ".join(sorted(elsewhere))
        yield Problem(Level.NOTE, facts.target, f"needs libraries from elsewhere: {names}", "of the system or of other packages")


class _Finder:
    """Looks a needed library up as the loader does: ld.so(8), first the RPATH, then the system's directories."""

    def __init__(self, facts: Facts) -> None:
        self._paths = facts.paths
        self._names = frozenset(posixpath.basename(path) for path in facts.paths)
        self._links = dict(facts.directory_links)
        self._system = (*_DEFAULT_DIRECTORIES, *facts.loader_directories)
        self._preloaded = facts.is_system

    def is_present(self, name: str) -> bool:
        return name in self._names

    def finds(self, library: Library, name: str) -> bool:
        own = posixpath.dirname(library.path)
        search = library.elf.search if library.elf else ()
        expanded = (path.replace("$ORIGIN", f"/{own}").replace("${ORIGIN}", f"/{own}") for path in search)
        return any(self._stands(posixpath.normpath(directory).lstrip("/"), name) for directory in [*expanded, *self._system])

    def _stands(self, directory: str, name: str) -> bool:
        if f"{directory}/{name}" in self._paths or (not directory and name in self._paths):
            return True
        parts = directory.split("/")
        for depth in range(1, len(parts) + 1):
            target = self._links.get("/".join(parts[:depth]))
            if target is not None:
                return f"{'/'.join([target, *parts[depth:]])}/{name}" in self._paths
        return False


def _openmp_runtimes(facts: Facts) -> Iterator[Problem]:
    by_name = {name: library for library in facts.libraries for name in (library.name, library.elf.soname if library.elf else "")}
    reported: set[frozenset[str]] = set()
    for library in facts.libraries:
        runtimes = frozenset(name for name in _closure(library, by_name) if _OPENMP.match(name))
        if len({_same_runtime(name) for name in runtimes}) > 1 and runtimes not in reported:
            reported.add(runtimes)
            names = " and ".join(sorted(runtimes))
            message = f"brings two OpenMP runtimes into one process: {names}"
            yield Problem(
                Level.WARNING, library.path, message, "two pools of threads compete, unless one only stands in for the other"
            )


def _same_runtime(name: str) -> str:
    match = _OPENMP.match(name)
    # auditwheel renames what it bundles (libgomp-a34b3233.so.1): another copy is another runtime.
    return name if "-" in name.split(".so")[0] else (match[1] if match else name)


def _closure(library: Library, by_name: dict[str, Library]) -> set[str]:
    seen: set[str] = set()
    waiting = [library]
    while waiting:
        current = waiting.pop()
        for name in current.elf.needed if current.elf else ():
            if name not in seen:
                seen.add(name)
                if name in by_name:
                    waiting.append(by_name[name])
    return seen


def _packages_without_gpu_code(facts: Facts, policy: Policy) -> Iterator[Problem]:
    packages = {package.name: package for package in facts.packages if package.name in policy.gpu_packages}
    torch_has = "torch" in packages and _has_gpu_code(packages["torch"], facts)
    for package in packages.values():
        if _has_gpu_code(package, facts):
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
    needed = {int(match[1]) for library in facts.libraries for match in _cuda_runtimes(library)}
    for package in facts.packages:
        cuda = dict(package.versions).get("cuda")
        if package.name == "torch" and cuda and needed and int(cuda.split(".")[0]) not in needed:
            majors = ", ".join(f"libcudart.so.{major}" for major in sorted(needed))
            yield Problem(Level.ERROR, package.path, f"torch.version.cuda is {cuda}, its libraries need {majors}")
    if len(needed) > 1:
        majors = ", ".join(str(major) for major in sorted(needed))
        yield Problem(Level.WARNING, facts.target, f"its libraries need the runtimes of several CUDA versions: {majors}")


def _cuda_runtimes(library: Library) -> Iterator[re.Match[str]]:
    for name in library.elf.needed if library.elf else ():
        if match := re.match(r"libcudart\.so\.(\d+)", name):
            yield match


def needs(facts: Facts, policy: Policy) -> dict[str, str]:
    """The oldest versions that the target runs with: "glibc", "cuda", "cudnn", "nccl", "driver", "ptx_driver" where they apply.

    CUDA, cuDNN and NCCL by the sonames that the libraries name, and NCCL by the functions that they call; the driver by CUDA's
    rule for minor versions; `ptx_driver` is the CUDA release whose driver can compile the newest PTX inside.
    """
    found: dict[str, str] = {}
    glibc = [
        version.removeprefix("GLIBC_")
        for library in facts.libraries
        for _, versions in (library.elf.versions if library.elf else ())
        for version in versions
        if re.fullmatch(r"GLIBC_[\d.]+", version)
    ]
    if glibc:
        found["glibc"] = max(glibc, key=_numbers)
    for key, soname in (("cuda", "libcudart"), ("cudnn", "libcudnn"), ("nccl", "libnccl")):
        majors = [match[1] for library in facts.libraries for match in _sonames(library, soname)]
        if majors:
            found[key] = max(majors, key=_numbers)
    functions = {symbol for library in facts.libraries for symbol in (library.elf.symbols if library.elf else ())}
    nccl = [version for function, version in policy.nccl.items() if function in functions]
    if nccl:
        found["nccl"] = max(nccl, key=_numbers)
    if driver := policy.drivers.get(found.get("cuda", "")):
        found["driver"] = driver
    isa = [
        entry.isa
        for library in facts.libraries
        for code in library.code
        for entry in code.container.entries
        if entry.kind is Kind.PTX
    ]
    if isa:
        newest = "{}.{}".format(*max(isa))
        found["ptx_driver"] = f"CUDA {policy.ptx_isa[newest]}" if newest in policy.ptx_isa else f"PTX ISA {newest}"
    return found


def _sonames(library: Library, stem: str) -> Iterator[re.Match[str]]:
    for name in library.elf.needed if library.elf else ():
        if match := re.match(rf"{stem}(?:_\w+)?\.so\.(\d+)", name):
            yield match


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split(".") if part.isdigit())


def cpu_capabilities(facts: Facts) -> tuple[str, ...]:
    """The CPU capabilities that PyTorch's kernels were built for, the least first."""
    return max((library.elf.capabilities for library in facts.libraries if library.elf), key=len, default=())
