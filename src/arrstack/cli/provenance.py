"""`arrstack provenance`: how a tier's image came to be, whose word that is, and giving one's own."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from arrstack.cli.keys import signer_of, trusted_of
from arrstack.cli.options import DryRun, Json, OneTier, opened
from arrstack.cli.session import BuildOptions, Session
from arrstack.cli.streams import print_json
from arrstack.errors import ConfigError, RegistryError, VerificationError
from arrstack.model import Image, State, short
from arrstack.registry import Registry

if TYPE_CHECKING:
    from arrstack.contents.signing import Signer


@dataclass(frozen=True)
class Found:
    """An image of a tier, and what is known of who vouches for it: "signed", "unsigned", or why a signature does not count."""

    name: str
    image: Image
    origin: str

    @property
    def signed(self) -> bool:
        return self.origin == "signed"


def provenance(
    context: typer.Context,
    tier: OneTier,
    sign: Annotated[
        bool, typer.Option("--sign", help="Sign the tier's image and its wheels' by --signing-key: you trust them.")
    ] = False,
    check: Annotated[bool, typer.Option("--check", help="Status 4 where the trusted key did not sign all of them.")] = False,
    dry_run: DryRun = False,
    as_json: Json = False,
) -> None:
    """Show how an image came to be, and who signed that. The SLSA provenance of a tier's image."""
    from arrstack.contents.provenance import history

    session, out = opened(context, as_json)
    registry, images = session.plain_registry(), images_of(session, tier)
    signer = signer_of(session.options, session.environment)
    if sign:
        if signer is None:
            raise ConfigError("--sign without a key", "give --signing-key FILE, or ARRSTACK_SIGNING_KEY")
        if not dry_run:
            sign_all(registry, images, tier, session.stack.profile_name, signer)
    found = [Found(name, image, origin(session, registry, tier, image)) for name, image in images.items()]
    if as_json:
        print_json({"tier": tier, "dry_run": dry_run, "images": [form(tier, each, session) for each in found]})
    for each in () if as_json else found:
        would = sign and dry_run and not each.signed
        out.say(f"{each.name} {short(each.image.digest)}: {each.origin}{'; it would be signed' if would else ''}")
        for line in history(each.image):
            out.say(f"  {line}")
    if check and not all(each.signed for each in found):
        from arrstack.contents.signed_registry import signing

        bad = next(each for each in found if not each.signed)
        raise VerificationError(f"{bad.name}: {bad.origin}", signing(tier))


def images_of(session: Session, tier: str) -> dict[str, Image]:
    """What is published of a tier, signed or not: its image under the profile's tag, and the wheels that it is made of.

    Raises ConfigError where there is no image, RegistryError where that cannot be told.
    """
    from arrstack.launch.plan import Facts, wheel_plans

    registry = session.plain_registry()
    recipe = session.recipes(BuildOptions(tier=tier))[-1]
    answer = registry.lookup(tier, session.stack.profile.tag)
    if answer.state is State.UNKNOWN:
        raise RegistryError(f"{tier}: {answer.reason}")
    if answer.image is None:
        raise ConfigError(
            f"{tier}:{session.stack.profile.tag} is not published in {registry.name}", f"`arrstack launch {tier}` builds it"
        )
    plans = wheel_plans(recipe.planned, Facts(registry.lookup))
    wheels = {f"{tier}/{plan.wheel.name}": plan.answer.image for plan in plans if plan.answer.image}
    return {tier: answer.image} | wheels


def sign_all(registry: Registry, images: dict[str, Image], tier: str, profile: str, signer: "Signer") -> None:
    from arrstack.contents.signed_registry import sign

    for image in images.values():
        sign(registry, tier, image, profile, signer)


def origin(session: Session, registry: Registry, tier: str, image: Image) -> str:
    """ "signed", by the key that is trusted; else what there is to say."""
    from arrstack.contents.signed_registry import is_signed_at_all, origin_of

    if session.options.signing_key or session.options.trusted_key:
        trusted = trusted_of(session.options, signer_of(session.options, session.environment))
        found = origin_of(registry, tier, image, trusted)
        return "signed" if found.signed else found.reason
    if is_signed_at_all(registry, tier, image):
        return "signed by a key that was not named: --trusted-key FILE says whether by yours"
    return "unsigned"


def form(tier: str, found: Found, session: Session) -> dict[str, object]:
    import json

    from arrstack.contents.provenance import statement

    told = json.loads(statement(tier, found.image, session.stack.profile_name))
    return {"name": found.name, "digest": found.image.digest, "signed": found.signed, "origin": found.origin, "statement": told}
