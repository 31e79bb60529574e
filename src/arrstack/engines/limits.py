"""What this user may: open files, processes, user namespaces."""

import getpass
import re
import resource
from pathlib import Path

from arrstack.errors import MachineError
from arrstack.machine.process import Failed, Processes

SUBORDINATE_IDS = ("/etc/subuid", "/etc/subgid")
RAISED = 1 << 20
"""Open files and processes that a later buildah allows a build, which fails where this process may not raise its limits."""


def limits() -> list[str]:
    """The flags that keep this machine's limits where they are lower."""
    hard = {"nofile": resource.getrlimit(resource.RLIMIT_NOFILE)[1], "nproc": resource.getrlimit(resource.RLIMIT_NPROC)[1]}
    return [word for name, most in hard.items() if 0 <= most < RAISED for word in ("--ulimit", f"{name}={most}:{most}")]


def ranges(path: str) -> str:
    """A table of subordinate ids (subuid(5)); empty where there is none."""
    return Path(path).read_text() if Path(path).is_file() else ""


def require_user_namespaces(processes: Processes) -> None:
    """Raises MachineError where this user may not have a user namespace with a range of ids, which a build needs."""
    try:
        processes.run(["buildah", "unshare", "true"])
    except Failed as error:
        user = getpass.getuser()
        if any(not re.search(rf"^{re.escape(user)}:", ranges(path), re.MULTILINE) for path in SUBORDINATE_IDS):
            hint = f"run as root: usermod --add-subuids 100000-165535 --add-subgids 100000-165535 {user}"
        else:
            hint = (
                "run arrstack as root, or allow user namespaces as root: sysctl user.max_user_namespaces=15000, "
                "where it exists also kernel.unprivileged_userns_clone=1 and kernel.apparmor_restrict_unprivileged_userns=0"
            )
        cause = (error.errors.strip() or error.message).splitlines()[0]  # the cause; what follows is what came of it
        why = re.sub(r'^time="[^"]*" level=\w+ msg="(.*)"$', r"\1", cause)
        raise MachineError(f"buildah cannot build as {user}: {why}", hint) from None
