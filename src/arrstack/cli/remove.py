"""The commands that remove: prune, uninstall."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import typer

from arrstack.cli.options import DryRun, Json, opened, session_of
from arrstack.cli.session import BuildOptions
from arrstack.cli.streams import print_json
from arrstack.errors import ConfigError

if TYPE_CHECKING:
    from arrstack.cli.console import Output
    from arrstack.launch.prune import Removal


def prune(context: typer.Context, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Remove what this stack and profile need no more. Old build directories, images, tags, logs."""
    from arrstack.launch.prune import Pruning, wanted_by

    session, out = opened(context, as_json)
    session.be_patient(out)
    options = BuildOptions(every=True)
    wanted = wanted_by(session.stack, session.recipes(options), session.plan(options))
    engine = session.setup(out).present(session.local_engine)  # nothing is installed in order to remove
    pruning = Pruning(session.registry, engine, session.folders, session.memory, wanted)
    if dry_run:
        removed = pruning.removals()
    else:
        with session.folders.alone("prune"):
            removed = pruning.remove()
    tell(out, removed, dry_run)


def uninstall(context: typer.Context, dry_run: DryRun = False, as_json: Json = False) -> None:
    """Remove all that arrstack keeps on this machine. Every stack's store, caches, registry directory and logs."""
    from arrstack.launch.uninstall import Uninstalling

    session = session_of(context)
    out, setup = session.output(as_json), session.setup(session.output(as_json))
    uninstalling = Uninstalling(session.folders, session.processes, setup.present("docker"), setup.user == 0)
    if not dry_run and not session.options.yes:
        if not as_json:
            tell(out, uninstalling.removals(), dry_run=True)
        if not out.ask("Remove all of this, for every stack of this user?"):
            raise ConfigError("nothing was removed: nobody said yes", "give --yes")
    if not dry_run:
        out.say("removing; a large store takes minutes")
    tell(out, uninstalling.removals() if dry_run else uninstalling.remove(), dry_run)
    out.say(
        "what stays: the checkout and its .venvs (remove the folder), and the Debian packages that a set-up named (apt-get purge)"
    )


def tell(out: "Output", removed: "Sequence[Removal]", dry_run: bool) -> None:
    """What went, or would go, each with its size where that is its own alone."""
    from arrstack.text import counted, size

    if out.as_json:
        print_json({"dry_run": dry_run, "removed": [{"what": each.what, "bytes": each.bytes} for each in removed]})
        return
    for each in removed:
        out.say(f"{'would remove' if dry_run else 'removed'} {each.what}{f', {size(each.bytes)}' if each.bytes else ''}")
    if not removed:
        out.say("nothing to remove")
        return
    beside = " beside shared layers" if any(not each.bytes for each in removed) else ""
    out.say(f"{counted(len(removed), 'thing')}, {size(sum(each.bytes for each in removed))}{beside}")
