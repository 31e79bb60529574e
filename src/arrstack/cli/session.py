"""What the flags and the environment of one call come to: the stack, the registry, the engine, the launch."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from arrstack.errors import ConfigError, RegistryError
from arrstack.machine.folders import Folders
from arrstack.machine.process import Processes
from arrstack.recipes.config import LoadedStack, load
from arrstack.recipes.tiers import Wheels, read
from arrstack.registry import Registry, connect

COMPILE_PLANS = ("auto", "none")


@dataclass
class Settings:
    """The global options, each from its flag, else ARRSTACK_<NAME>, else stack.toml."""

    stack: Path
    profile: str | None
    engine: str
    registry: str | None
    yes: bool
    no_setup: bool
    verbose: bool
    no_color: bool


settings = Settings(Path("stack.toml"), None, "auto", None, False, False, False, False)


def output(as_json: bool) -> Any:
    from arrstack.cli.console import Output

    return Output(as_json, not settings.no_color, settings.verbose)


def loaded() -> LoadedStack:
    return load(settings.stack.absolute(), settings.profile)


def folders() -> Folders:
    return Folders.of(os.environ)


def registry() -> Registry:
    return connect(settings.registry or f"oci:{folders().registry}", os.environ)


def machine_setup(say: Callable[[str], None], ask: Callable[[str], bool]) -> Any:
    from arrstack.launch.setup import Setup

    return Setup(Processes(), folders(), lambda question: settings.yes or ask(question), say, not settings.no_setup)


def find_engine(say: Callable[[str], None], ask: Callable[[str], bool]) -> Any:
    engine, reason = machine_setup(say, ask).engine(settings.engine)
    say(f"engine: {reason}")
    return engine


@dataclass(frozen=True)
class NoEngine:
    """Stands for the engine where none is needed: a plan only names it."""

    name: str


def prepared(
    stack: LoadedStack,
    tier: str | None,
    engine: Any,
    wheels: Wheels | None,
    force: bool,
    plan_name: str,
    jobs: int,
    beside: int = 1,
) -> Any:
    from arrstack.launch.launch import Launch
    from arrstack.machine.resources import certificates

    if plan_name not in COMPILE_PLANS:
        raise ConfigError(f"--compile-plan {plan_name}: it takes {' or '.join(COMPILE_PLANS)}")
    chosen = stack.up_to(tier)
    recipes = read(stack, {"COMPILE_PLAN": plan_name}, wheels, chosen)
    forced = frozenset({tier} if tier else {t.name for t in chosen}) if force else frozenset()
    return Launch(
        stack,
        {r.tier.name: r for r in recipes},
        engine,
        registry(),
        folders(),
        Processes(),
        jobs,
        beside,
        certificates(os.environ),
        wheels,
        forced,
    )


def print_json(value: Any) -> None:
    from arrstack.cli.console import json_text

    print(json_text(value, indent=1))


def waiting_updates(stack: LoadedStack, image: Any, out: Any) -> int:
    """How many security updates the distribution has for an image: asked of its own apt, in a container."""
    from arrstack.machine.resources import certificates

    engine = find_engine(lambda _: None, out.ask)
    reference = prepared(stack, None, engine, None, False, "auto", 1).bring(image)
    script = "apt-get -qq update >/dev/null && apt-get -qq --simulate upgrade | grep -ci '^Inst.*security' || true"
    lines = list(engine.run(reference, ["sh", "-c", script], {}, {}, certificates(os.environ)))
    counts = [int(line) for line in lines if line.isdigit()]
    if not counts:
        raise RegistryError("the distribution's archive could not be asked for updates: " + " ".join(lines[-2:]))
    return counts[-1]


def current_bases(stack: LoadedStack) -> frozenset[str]:
    from arrstack.launch.bases import local_base
    from arrstack.recipes.config import Bootstrap

    archive, bases = stack.profile.archive, stack.profile.bases.values()
    return frozenset(
        local_base(base, archive.state(tier.name)) for base in bases if isinstance(base, Bootstrap) for tier in stack.tiers
    )
