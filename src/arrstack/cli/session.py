"""What the flags and the environment of one call come to: the stack, the registry, the engine, made when they are asked for.

A session is made once, from the global options, and handed on by typer's context:

    session = Session(Options(stack=Path("stack.toml"), engine="buildah"), os.environ)
    session.stack.tier("arr-trainer")
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from arrstack.cli.place import CHECKOUT, STACK, as_asked, require_stack
from arrstack.cli.typed import command
from arrstack.errors import ConfigError
from arrstack.machine.folders import Folders
from arrstack.machine.memory import Kind, Memory
from arrstack.machine.process import Processes
from arrstack.model import Image
from arrstack.recipes.config import LoadedStack, load
from arrstack.recipes.refresh import refuse_future
from arrstack.recipes.tiers import Recipe, Wheels, read
from arrstack.registry import LOOKING, WORKING, Patience, Registry, connect, find
from arrstack.registry.divided import Divided

if TYPE_CHECKING:  # what only some commands need costs the others nothing
    from arrstack.cli.console import Output
    from arrstack.engines import Builder, Engine, Runner
    from arrstack.engines.local import LocalBuilder
    from arrstack.gcp.names import Names
    from arrstack.launch.launch import Launch
    from arrstack.launch.plan import Facts, Plan
    from arrstack.launch.recorder import Recorder
    from arrstack.launch.setup import Setup

CLOUD_BUILD = "cloudbuild"
"""The engine that is not on this machine."""
GOOGLE = "google"
"""The registry that is Artifact Registry's two repositories, as the stack file names them."""
BUILDX = "buildx"
"""The engine that is a builder of docker buildx, as the stack file names it."""
COMPILE_PLANS = ("auto", "none")


@dataclass(frozen=True, kw_only=True)
class Options:
    """The global options, each from its flag, else ARRSTACK_<NAME>, else the default."""

    stack: Path = STACK
    profile: str | None = None
    engine: str = "auto"
    registry: str | None = None
    yes: bool = False
    no_setup: bool = False
    verbose: bool = False
    no_color: bool = False
    tag: str = ""
    base_image: str = ""
    project: str = ""
    region: str = ""
    worker_pool: str = ""
    signing_key: Path | None = None
    trusted_key: Path | None = None
    layers: str = "gzip"
    typed: tuple[str, ...] = ()
    """The options of these that the person typed, as words: a hint repeats them."""


@dataclass(frozen=True, kw_only=True)
class BuildOptions:
    """What `plan` and `launch` are asked for: see their options."""

    tier: str | None = None
    compile_plan: str = "auto"
    wheels: Wheels | None = None
    force: bool = False
    jobs: int = 1
    parallel_builds: int = 1
    only: str = ""
    """The one part of the tier that is built: see `Launch.part`."""
    price_per_minute: float = 0
    """US dollars a minute of a machine in Google Cloud; 0: as the stack file or the table of prices says."""
    record: str = ""
    """MACHINE or MACHINE@DIGEST: a record of each build is kept that says so of where it ran."""
    max_cost: float = 0
    """US dollars that builds there may cost at most; 0: as the stack file says."""
    every: bool = False  # all tiers, those too that are no default ones


@dataclass
class Session:
    """One call of the command line. Raises ArrstackError where something that is asked for cannot be had."""

    options: Options
    environment: Mapping[str, str] = field(repr=False)

    def output(self, as_json: bool = False, aside: bool = False) -> "Output":
        """`aside` says everything on standard error: standard output is a program's."""
        from arrstack.cli.console import Output

        return Output(
            as_json, not self.options.no_color, self.options.verbose, command(self.environment, self.options.typed), aside
        )

    @cached_property
    def stack(self) -> LoadedStack:
        """Raises ConfigError where there is none, or something is wrong with it."""
        require_stack(self.options.stack)
        stack = load(self.options.stack.absolute(), self.options.profile)
        refuse_future(stack, datetime.now(UTC).date())
        return as_asked(stack, self.options.base_image, self.options.tag)

    @property
    def stack_is_own(self) -> bool:
        """Whether the stack file lies in the checkout that this program is of: then who wrote it wrote the program too."""
        return self.stack.path.resolve().is_relative_to(CHECKOUT)

    @cached_property
    def folders(self) -> Folders:
        return Folders.of(self.environment)

    @cached_property
    def memory(self) -> Memory:
        """What this machine remembers of the stack and profile; of builds elsewhere apart, as another machine takes another time."""
        name = self.stack.profile_name
        return self.folders.memory(self.stack.path, f"{name}@{CLOUD_BUILD}" if self.elsewhere else name)

    @cached_property
    def registry(self) -> Registry:
        """The one client of the registry in this call. It waits for seconds: see `be_patient`."""
        return self._connect()

    @property
    def elsewhere(self) -> bool:
        """Whether the builds are Cloud Build's, and not this machine's."""
        return self.options.engine == CLOUD_BUILD

    @property
    def by_buildx(self) -> bool:
        """Whether a builder of docker buildx builds: asked for, or named by the stack file. Raises ConfigError where that names none."""
        wanted, named = self.options.engine, self.stack.stack.buildx.builder
        if wanted == BUILDX and not named:
            raise ConfigError(f"{self.options.stack} names no builder", '[buildx] with builder = "NAME", of `docker buildx ls`')
        return wanted == BUILDX or (wanted == "auto" and bool(named))

    @property
    def local_engine(self) -> str:
        """What is asked for of this machine."""
        return "auto" if self.elsewhere or self.by_buildx else self.options.engine

    @property
    def place_of_registry(self) -> str:
        """As --registry names it."""
        return self.options.registry or (GOOGLE if self.elsewhere else f"oci:{self.folders.registry}")

    @property
    def registry_is_here(self) -> bool:
        """Whether images go to a folder of this machine."""
        return self.place_of_registry.startswith(("oci:", "/", ".", "~"))

    def _connect(self, patience: Patience = LOOKING, tell: Callable[[str], None] = lambda _: None) -> Registry:
        """With a key only what it signed is present, and what is published is signed where the key is a private one."""
        inner = self.plain_registry(patience, tell)
        if not (self.options.signing_key or self.options.trusted_key):
            return inner
        from arrstack.cli.keys import signed

        return signed(inner, self.options, self.environment, lambda: self.stack.profile_name)

    def plain_registry(self, patience: Patience = LOOKING, tell: Callable[[str], None] = lambda _: None) -> Registry:
        """A client that takes signed and unsigned images alike."""
        if self.place_of_registry == GOOGLE:
            prefixes, divide = self.google.prefixes, self.stack.stack.cloud.repository_of
            return Divided({name: connect(at, self.environment, patience, tell) for name, at in prefixes.items()}, divide)
        return connect(self.place_of_registry, self.environment, patience, tell)

    def be_patient(self, out: "Output") -> None:
        """For a command that works, and not only looks: a server is waited for as long as that is worth, each wait told."""
        self.registry = self._connect(WORKING, out.say)

    @cached_property
    def google(self) -> "Names":
        """What is where in Google Cloud. Raises ConfigError where no project is named."""
        from arrstack.gcp.names import Names

        return Names.of(self.stack.stack.cloud, self.options.project, self.options.region, self.environment)

    @cached_property
    def processes(self) -> Processes:
        return Processes(self.environment)

    @cached_property
    def certificates(self) -> Path | None:
        from arrstack.machine.resources import certificates

        return certificates(self.environment)

    def setup(self, out: "Output") -> "Setup":
        """What prepares this machine; it tells and asks by `out`."""
        from arrstack.launch.setup import Setup

        def ask(question: str) -> bool:
            return self.options.yes or out.ask(question)

        return Setup(self.processes, self.folders, ask, out.say, not self.options.no_setup)

    def engine(self, out: "Output", silent: bool = False) -> "Engine":
        """The engine of this machine, set up if need be: also where builds are elsewhere, for what runs here. Raises MachineError."""
        engine, reason = self.setup(out).engine(self.local_engine)
        if not silent:
            out.say(f"engine: {reason}")
        return engine

    def recipes(self, options: BuildOptions) -> list[Recipe]:
        """The recipes of the tiers that are asked for, bottom first."""
        if options.compile_plan not in COMPILE_PLANS:
            raise ConfigError(f"--compile-plan {options.compile_plan}: it takes {' or '.join(COMPILE_PLANS)}")
        tiers = self.stack.tiers if options.every else self.stack.up_to(options.tier)
        return read(self.stack, {"COMPILE_PLAN": options.compile_plan}, options.wheels, tiers)

    def facts(self, options: BuildOptions, recipes: Iterable[Recipe]) -> "Facts":
        """What the decisions about these options may ask."""
        from arrstack.launch.estimate import bases_here, estimates
        from arrstack.launch.plan import Facts
        from arrstack.registry import ask_for

        chosen = [tier.name for tier in self.stack.up_to(options.tier)]
        forced = frozenset([options.tier] if options.tier else chosen) if options.force else frozenset()
        expected = estimates(self.stack, options.jobs, self.memory)
        bases = {} if self.elsewhere else bases_here(self.stack, recipes, self.memory)
        return Facts(self.registry.lookup, lambda base: ask_for(base, self.environment), expected, bases, self._passed, forced)

    def _passed(self, image: str, checks: str) -> bool:
        """Whether an image passed checks after it was published. Where builds are elsewhere, nothing runs here that could tell."""
        return self.elsewhere or f"{image} {checks}" in self.memory.noted(Kind.PASSED)

    def plan(self, options: BuildOptions) -> "Plan":
        """What a launch by these options would do; it needs no engine."""
        from arrstack.launch.plan import plan
        from arrstack.launch.setup import require_engine

        require_engine(self.options.engine)
        _ = self.by_buildx  # a builder that the stack file does not name
        recipes = self.recipes(options)
        tiers, facts = [recipe.planned for recipe in recipes], self.facts(options, recipes)
        return plan(tiers, facts, self.stack.profile_name, self.options.engine, self.registry.name)

    def local_builder(self, engine: "Engine") -> "LocalBuilder":
        from arrstack.cli.buildx import maker
        from arrstack.engines.compression import require_layers
        from arrstack.engines.local import LocalBuilder

        layers = require_layers(self.options.layers, engine.name)
        return LocalBuilder(engine, self.registry, self.processes, self.folders, maker(self, engine), layers=layers)

    def launch(
        self, options: BuildOptions, builder: "Builder", runner: "Runner | None", recorder: "Recorder | None" = None
    ) -> "Launch":
        """A launch by these options; `runner` is None where the builder proves what it builds."""
        from arrstack.cli.cache import shared_cache
        from arrstack.contents.describer import Describer
        from arrstack.launch.launch import Launch
        from arrstack.launch.steps import Steps

        steps = Steps(builder, self.folders, self.memory, options.jobs, options.parallel_builds, recorder=recorder)
        recipes = {recipe.tier.name: recipe for recipe in self.recipes(options)}
        facts = self.facts(options, recipes.values())
        beside, cache = Describer(self.registry, bool(self.options.signing_key)), shared_cache(self)
        return Launch(self.stack, recipes, self.registry, facts, steps, runner, self.certificates, options.wheels, beside, cache)

    def bring(self, image: Image, engine: "Engine") -> str:
        """The reference of a published image in the engine's store."""
        from arrstack.engines.local import bring

        reference = bring(image, self.registry, engine)
        self.memory.note(Kind.IMAGE, reference)
        return reference

    def published(self, tier: str) -> Image:
        """The image under the profile's tag. Raises ConfigError where the stack has no such tier or it is absent,
        RegistryError where that cannot be told."""
        self.stack.tier(tier)
        tag = self.stack.profile.tag
        image = find(self.registry, tier, tag)
        if image is None:
            raise ConfigError(f"{tier}:{tag} is not published in {self.registry.name}", f"`arrstack launch {tier}` builds it")
        return image

    def given_wheels(self, named: Sequence[str]) -> AbstractContextManager[Wheels | None]:
        """The folder of wheels that --wheels names; None where it names none."""
        if not named:
            return nullcontext()
        from arrstack.wheels import given_wheels

        return given_wheels(named, self.processes)
