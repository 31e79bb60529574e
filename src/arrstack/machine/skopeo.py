"""skopeo's copy of an image: from one place to another, plain HTTP on this machine alone, the login that was found."""

import json
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path

from arrstack.machine.credentials import HUB_SERVER, Credentials
from arrstack.machine.process import Processes
from arrstack.reference import HUB, TRANSPORT, NotAName, Reference, plain_http


def copy(
    processes: Processes,
    source: str,
    destination: str,
    options: Sequence[str] = (),
    around: Sequence[str] = (),
    tell: Callable[[int], None] | None = None,
) -> str:
    """Copies an image between two containers/image references (containers-transports(5)).

    Returns the digest of the manifest that was written. `options` are skopeo's own, `around` is a command that skopeo is
    run by, `tell` gets the bytes that were read, now and then. Raises Failed where skopeo does, MachineError where there is none.

        copy(Processes(), "oci:folder:tag", "docker://quay.io/team/image:tag")
    """
    with tempfile.TemporaryDirectory(prefix="arrstack-skopeo-") as folder:
        digest = Path(folder, "digest")
        argv = [*around, "skopeo", "copy", "--quiet", f"--digestfile={digest}", *options]
        for side, reference in (("src", source), ("dest", destination)):
            argv += plain_http(f"--{side}-tls-verify", reference)
            argv += auth_file(processes, f"--{side}-authfile", reference, Path(folder, f"{side}.json"))
        argv += [source, destination]
        if tell:
            processes.watch(argv, tell)
        else:
            processes.run(argv)
        return digest.read_text().strip()


def auth_file(processes: Processes, flag: str, reference: str, path: Path) -> list[str]:
    """The flag, and the file that it names, for a login that skopeo would not find by itself: docker's `credsStore`."""
    if not reference.startswith(TRANSPORT):
        return []
    try:
        named = Reference.parse(reference)
    except NotAName:
        return []  # skopeo itself says what is wrong with it
    login = Credentials(processes).find(named.host, named.repository).login
    if login is None or not login.private:
        return []
    held = {"auth": login.basic} | ({"identitytoken": login.identity_token} if login.identity_token else {})
    path.touch(0o600)
    path.write_text(json.dumps({"auths": {HUB_SERVER if named.host == HUB else named.host: held}}))
    return [flag, str(path)]
