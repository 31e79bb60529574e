"""Pure: an inventory -> a bill of materials, CycloneDX 1.6 as JSON. The same image always gives the same bytes.

Sources: CycloneDX 1.6; the package-url specification with its types deb, pypi, oci and generic.
"""

import json
import uuid
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model import HashAlgorithm, HashType, Property, XsUri
from cyclonedx.model.bom import Bom, BomMetaData
from cyclonedx.model.component import Commit, Component, ComponentType, Pedigree
from cyclonedx.model.dependency import Dependency
from cyclonedx.model.license import DisjunctiveLicense, License
from cyclonedx.model.tool import ToolRepository
from cyclonedx.output.json import JsonV1Dot6
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator
from packageurl import PackageURL

from arrstack import __version__
from arrstack.contents.inventory import NOBODY, Inventory, Kind, Library, Package
from arrstack.contents.licences import spdx
from arrstack.contents.packages import normal_name
from arrstack.model import EPOCH, Compiled, compiled_in

NAMESPACE = uuid.UUID("6f1c3a52-7a64-5b0e-9d7b-0c1f4f0f6d11")
"""Of the serial numbers: each is made from the image's digest and from nothing else."""
_PREFIX = "io.arrstack"


def bill_of_materials(inventory: Inventory, name: str) -> str:
    """The document for an image that is called `name`. What was compiled from which pin comes from the image's own labels.

    Raises ValueError where it does not fit CycloneDX's schema.

        bill_of_materials(take_inventory(source), "arr-pytorch-base")
    """
    factory = LicenseFactory()
    root = _root(inventory, name)
    compiled = {normal_name(each.distribution): each for each in compiled_in(inventory.labels)}
    components = [_component(package, inventory, compiled.get(package.name), factory) for package in inventory.packages]
    components += [_file(library) for library in inventory.libraries if library.owner == NOBODY]
    bom = Bom(
        components=components,
        serial_number=uuid.uuid5(NAMESPACE, inventory.digest or json.dumps([name, inventory.files, inventory.bytes])),
        metadata=BomMetaData(component=root, tools=ToolRepository(components=[_tool()]), timestamp=_timestamp(inventory.created)),
        dependencies=[Dependency(root.bom_ref, [Dependency(each.bom_ref) for each in components])],
    )
    document = str(JsonV1Dot6(bom).output_as_string(indent=1))
    check(document)
    return document + "\n"


def check(document: str) -> None:
    """Raises ValueError, with the first reason, where a document does not fit the schema of CycloneDX 1.6."""
    try:
        problem = _validator().validate_str(document)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    if problem is not None:
        raise ValueError(f"it does not fit CycloneDX 1.6: {str(problem.data.message)[:200]}")


@cache
def _validator() -> JsonStrictValidator:
    """It reads its schemas once."""
    return JsonStrictValidator(SchemaVersion.V1_6)


def _root(inventory: Inventory, name: str) -> Component:
    digest = inventory.digest
    purl = PackageURL("oci", None, name.rpartition("/")[2].lower(), digest or None, {"arch": "amd64"} if digest else None)
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=digest.partition(":")[2])] if digest.startswith("sha256:") else []
    return Component(name=name, type=ComponentType.CONTAINER, version=digest or None, purl=purl, hashes=hashes, bom_ref=str(purl))


def _tool() -> Component:
    return Component(name="arrstack", type=ComponentType.APPLICATION, version=__version__)


def _timestamp(created: str) -> datetime:
    """When the image was made, as it says; it stands for the date of the document, which would be another each time."""
    try:
        moment = datetime.fromisoformat(created)
    except ValueError:
        moment = datetime.fromtimestamp(EPOCH, UTC)
    return moment.replace(microsecond=0) if moment.tzinfo else moment.replace(tzinfo=UTC, microsecond=0)


def _component(package: Package, inventory: Inventory, compiled: Compiled | None, factory: LicenseFactory) -> Component:
    is_ours = compiled is not None and package.kind is Kind.PYTHON and is_version_of(package.version, compiled.version)
    purl = purl_of(package, inventory, compiled if is_ours else None)
    return Component(
        name=package.name,
        version=package.version,
        type=ComponentType.LIBRARY,
        purl=purl,
        bom_ref=f"{purl}#{package.where}" if package.where else str(purl),
        licenses=_licences(package.licences, factory),
        properties=[
            Property(name=f"{_PREFIX}:{key}", value=value) for key, value in _facts(package, inventory, compiled, is_ours)
        ],
        pedigree=_pedigree(compiled) if compiled and is_ours else None,
    )


def _facts(package: Package, inventory: Inventory, compiled: Compiled | None, is_ours: bool) -> Iterator[tuple[str, str]]:
    yield "files", str(package.files)
    yield "bytes", str(package.bytes)
    if package.source and (package.source, package.source_version) != (package.name, package.version):
        yield "source-package", f"{package.source} {package.source_version}"
    if code := sorted({arch for each in inventory.libraries if each.owner == package.key for arch in each.code}):
        yield "device-code", " ".join(code)
    if compiled and is_ours:
        yield "compiled-from", f"{compiled.source} {compiled.pin}".strip() or "the files of its recipe"
        yield "compile-key", compiled.key
        yield "compiled-for", compiled.architectures or "CPU"


def is_version_of(version: str, wanted: str) -> bool:
    """Whether a package's version is the one that was compiled: a local part (PEP 440) may follow."""
    return version == wanted or version.partition("+")[0] == wanted


def purl_of(package: Package, inventory: Inventory, compiled: Compiled | None = None) -> PackageURL:
    """The package's own URL (package-url): `pkg:deb/debian/libc6@2.41-12?arch=amd64&distro=debian-13`, `pkg:pypi/torch@2.6.0`."""
    if package.kind is Kind.DEBIAN:
        system = inventory.distribution
        distro = "-".join(part for part in (system.id, system.version or system.codename) if part)
        qualifiers = {"arch": package.architecture, "distro": distro}
        return PackageURL("deb", system.id or "debian", package.name, package.version, {k: v for k, v in qualifiers.items() if v})
    return PackageURL("pypi", None, package.name, package.version, _origin(compiled) if compiled else None)


def _origin(compiled: Compiled) -> dict[str, str]:
    """What tells a wheel of ours from the index's own of that version: the source that it was compiled from."""
    kind, _, rest = compiled.source.partition(" ")
    if kind == "git" and rest:
        return {"vcs_url": f"git+{rest.split(' ')[0]}@{compiled.pin}"}
    return {"checksum": f"sha256:{compiled.pin}"} if len(compiled.pin) == 64 else {}


def _pedigree(compiled: Compiled) -> Pedigree:
    kind, _, rest = compiled.source.partition(" ")
    note = f"compiled by arrstack from {compiled.source or 'the files of its recipe'}"
    if kind == "git" and rest:
        return Pedigree(commits=[Commit(uid=compiled.pin, url=XsUri(rest.split(" ")[0]))], notes=note)
    if not rest:
        return Pedigree(notes=note)
    name, _, version = rest.partition(" ")
    purl = PackageURL("deb", "debian", name, version or None, {"arch": "source"}) if kind == "debian" else None
    hashes = [HashType(alg=HashAlgorithm.SHA_256, content=compiled.pin)] if len(compiled.pin) == 64 else []
    ancestor = Component(name=name, version=version or None, type=ComponentType.LIBRARY, purl=purl, hashes=hashes)
    return Pedigree(ancestors=[ancestor], notes=note)


def _licences(names: Iterable[str], factory: LicenseFactory) -> list[License]:
    """One expression, or several names: the schema has no list of expressions."""
    found = sorted({spdx(name) for name in names if spdx(name)})
    if len(found) == 1:
        return [factory.make_from_string(found[0])]
    return [_licence(name, factory) for name in found]


def _licence(name: str, factory: LicenseFactory) -> DisjunctiveLicense:
    made = factory.make_from_string(name)
    return made if isinstance(made, DisjunctiveLicense) else DisjunctiveLicense(name=name)


def _file(library: Library) -> Component:
    """A binary that no package lists: what it is has to be told by its bytes."""
    code = " ".join(sorted(library.code))
    return Component(
        name=library.path,
        type=ComponentType.FILE,
        bom_ref=f"file:{library.path}",
        hashes=[HashType(alg=HashAlgorithm.SHA_256, content=library.sha256)] if library.sha256 else [],
        properties=[Property(name=f"{_PREFIX}:bytes", value=str(library.size))]
        + ([Property(name=f"{_PREFIX}:device-code", value=code)] if code else []),
    )
