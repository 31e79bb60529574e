"""The process of the agent itself: `wandb launch-agent` with its Vertex runner mended, and an end that hands back what it holds."""

from collections.abc import Mapping, Sequence

from arr_agent.settings import ENDED, NO_PROGRAM, read_settings, tell


def main(arguments: Sequence[str], environment: Mapping[str, str]) -> int:
    """Runs `wandb launch-agent` with these arguments. Its exit status; a signal ends the process (`HandBack`)."""
    try:
        from wandb.cli.cli import cli
        from wandb.sdk.launch.agent import agent

        from arr_agent.handback import HandBack
        from arr_agent.mended import ChangedError, Mended, lacks, use_endpoint
    except ModuleNotFoundError as error:
        tell(f"there is no module {error.name}: wandb[launch] is not installed here")
        return NO_PROGRAM
    settings = read_settings(environment)
    try:
        found = lacks()
    except ChangedError as error:
        tell(str(error))
        return ENDED
    mended = Mended(environment.get("WANDB_API_KEY", ""), settings.secret)
    mended.install(found)
    agent.AGENT_POLLING_INTERVAL = settings.interval
    HandBack(mended.begun, tell).install()
    use_endpoint()
    try:
        cli(["launch-agent", *arguments], prog_name="wandb")
    except SystemExit as end:
        return end.code if isinstance(end.code, int) else ENDED if end.code else 0
    return 0
