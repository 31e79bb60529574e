"""The command line: arguments -> one call -> exit status."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any, Literal

import typer
import typer.core
import typer.exceptions

from arrstack import __version__
from arrstack.cli import build, contents, deliver, look, remove
from arrstack.cli.cache import app as cache_app
from arrstack.cli.completion import NAME, VARIABLE, completion
from arrstack.cli.infra import app as infra_app
from arrstack.cli.options import Command, Group, words
from arrstack.cli.place import found_stack
from arrstack.cli.provenance import provenance
from arrstack.cli.registry import app as registry_app
from arrstack.cli.run import CONTEXT, run
from arrstack.cli.session import Options, Session
from arrstack.cli.shell import shell
from arrstack.cli.streams import replace_what_cannot_be_encoded
from arrstack.cli.typed import command as typed_command
from arrstack.errors import ArrstackError, ConfigError

HELP = "Build PyTorch from source for exactly your GPUs, and three images on top. What is proven unchanged is not built again."
INTERRUPTED = 130


class Commands(Group):
    """The commands; what Ctrl-C ends reaches `main` as Abort, where typer would answer with the status alone."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise typer.Abort from None


app = typer.Typer(
    cls=Commands,
    add_completion=False,
    pretty_exceptions_enable=False,
    help=HELP,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def show_version(asked: bool) -> None:
    if asked:
        typer.echo(f"arrstack {__version__}")
        raise typer.Exit


@app.callback()
def options(
    context: typer.Context,
    stack: Annotated[
        Path | None,
        typer.Option(envvar="ARRSTACK_STACK", help="The stack file; default: the stack.toml here, or the nearest above."),
    ] = None,
    profile: Annotated[
        str | None, typer.Option(envvar="ARRSTACK_PROFILE", help="How the stack is built; default: the stack file's.")
    ] = None,
    engine: Annotated[str, typer.Option(envvar="ARRSTACK_ENGINE", help="auto, buildah, docker, buildx, or cloudbuild.")] = "auto",
    registry: Annotated[
        str | None,
        typer.Option(
            envvar="ARRSTACK_REGISTRY", help="oci:DIRECTORY, HOST[:PORT][/PREFIX], or google; default: a directory of yours."
        ),
    ] = None,
    tag: Annotated[
        str, typer.Option(envvar="ARRSTACK_TAG", help="The tag of what is finished and verified; default: the profile's.")
    ] = "",
    base_image: Annotated[
        str,
        typer.Option(envvar="ARRSTACK_BASE_IMAGE", metavar="TIER=IMAGE", help="Build TIER on this image, not on the tier below."),
    ] = "",
    project: Annotated[
        str, typer.Option(envvar="ARRSTACK_PROJECT", help="Google Cloud's project; default: the stack file's, else gcloud's.")
    ] = "",
    region: Annotated[str, typer.Option(envvar="ARRSTACK_REGION", help="Google Cloud's region; default: the stack file's.")] = "",
    worker_pool: Annotated[
        str,
        typer.Option(
            envvar="ARRSTACK_WORKER_POOL", help="Cloud Build's private pool; none: its own machines; default: the stack file's."
        ),
    ] = "",
    signing_key: Annotated[
        Path | None,
        typer.Option(envvar="ARRSTACK_SIGNING_KEY", metavar="FILE", help="Sign what is published; take only what it signed."),
    ] = None,
    trusted_key: Annotated[
        Path | None,
        typer.Option(envvar="ARRSTACK_TRUSTED_KEY", metavar="FILE", help="Take only what this key signed (a public key)."),
    ] = None,
    layers: Annotated[
        Literal["gzip", "zstd"],
        typer.Option(envvar="ARRSTACK_LAYERS", metavar="gzip|zstd", help="How layers are compressed for a server."),
    ] = "gzip",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    no_setup: Annotated[bool, typer.Option("--no-setup", help="Install nothing; say what is missing.")] = False,
    verbose: Annotated[bool, typer.Option("-v", "--verbose", envvar="ARRSTACK_VERBOSE", help="Show every log line.")] = False,
    no_color: Annotated[bool, typer.Option("--no-color", envvar="NO_COLOR", help="No colours.")] = False,
    version: Annotated[
        bool, typer.Option("--version", callback=show_version, is_eager=True, help="Show the version and exit.")
    ] = False,
) -> None:
    said = {
        name: value for name, value in context.params.items() if str(context.get_parameter_source(name)).endswith("COMMANDLINE")
    }
    context.obj = Session(
        Options(
            stack=stack or found_stack(Path.cwd()),
            profile=profile,
            engine=engine,
            registry=registry,
            yes=yes,
            no_setup=no_setup,
            verbose=verbose,
            no_color=no_color,
            tag=tag,
            base_image=base_image,
            project=project,
            region=region,
            worker_pool=worker_pool,
            signing_key=signing_key,
            trusted_key=trusted_key,
            layers=layers,
            typed=words(said),
        ),
        os.environ,
    )


COMMANDS = (
    build.launch,
    look.plan,
    look.why,
    look.status,
    look.diagnose,
    look.verify,
    contents.sbom,
    contents.vulnerabilities,
    contents.report,
    provenance,
    shell,
    deliver.wheels,
    deliver.export,
    deliver.push,
    remove.prune,
    remove.uninstall,
)
for command in COMMANDS:
    app.command(cls=Command)(command)
app.command(cls=Command, context_settings=CONTEXT)(run)
app.command()(completion)
app.add_typer(cache_app, name="cache")
app.add_typer(infra_app, name="infra")
app.add_typer(registry_app, name="registry")


def complete() -> None:
    """Answers a shell that asks what may come next."""
    from typer.completion import completion_init  # type: ignore[attr-defined]

    completion_init()
    app(prog_name=NAME, complete_var=VARIABLE)


def usage(error: typer.exceptions.TyperException) -> str:
    """How the command is used that was typed wrongly."""
    context = getattr(error, "ctx", None)
    if context is None:
        return f"`{typed_command(os.environ)} -h` lists what there is"
    asked = context.get_usage().removeprefix("Usage: ")
    return f"`{' '.join(asked.split())}`; `{context.command_path} -h` says more"


def main() -> None:
    """Runs the command line; every error of a user's making ends in one sentence and its class's status."""
    os.umask(os.umask(0o022) | 0o022)  # whatever a shell allows, nobody else writes to what is made here
    replace_what_cannot_be_encoded()
    if VARIABLE in os.environ:
        complete()
    given = sys.argv[1:]
    as_json = "--json" in given[: given.index("--") if "--" in given else None]
    output = Session(Options(), os.environ).output
    try:
        sys.exit(app(given, prog_name=typed_command(os.environ), standalone_mode=False))
    except ArrstackError as error:
        output(as_json).error(error)
        sys.exit(error.status)
    except typer.exceptions.TyperException as error:
        output(as_json).error(ConfigError(error.format_message(), usage(error)))
        sys.exit(ConfigError.status)
    except (KeyboardInterrupt, typer.Abort):
        launched = "launch" in given
        print(f"interrupted{': a new launch goes on where this one stopped' if launched else ''}", file=sys.stderr)
        sys.exit(INTERRUPTED)
