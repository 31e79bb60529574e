"""`launch --refresh`: moves the date of the archive's state in stack.toml, and changes nothing else in the file."""

import re
import tomllib
from datetime import date, timedelta

from arrstack.errors import ConfigError
from arrstack.recipes.config import LoadedStack


def with_date(body: str, today: date) -> str:
    """The table's lines with one date for all tiers."""
    body = re.sub(r'^([ \t]*date[ \t]*=[ \t]*)"[^"]*"', rf'\g<1>"{today}"', body, count=1, flags=re.MULTILINE)
    return re.sub(r"^[ \t]*tiers\.[^\n]*\n", "", body, flags=re.MULTILINE)


def with_tier_date(body: str, tier: str, today: date) -> str:
    """The table's lines with a date for one tier, behind the one for all where it had none."""
    line = re.compile(rf'^([ \t]*tiers\.{re.escape(tier)}[ \t]*=[ \t]*)"[^"]*"', re.MULTILINE)
    if line.search(body):
        return line.sub(rf'\g<1>"{today}"', body, count=1)
    added = rf'\g<1>\g<2>\g<1>tiers.{tier} = "{today}"\n'
    return re.sub(r"^([ \t]*)(date[ \t]*=[^\n]*\n)", added, body, count=1, flags=re.MULTILINE)


def refreshed(text: str, profile: str, tier: str | None, today: date) -> str:
    """The stack file's text with the profile's archive date set: for one tier, or for all (a tier's own then goes).

    Raises ConfigError where the file does not hold the profile's archive as a table of its own.
    """
    header = re.search(rf"^[ \t]*\[profiles\.{re.escape(profile)}\.archive\][ \t]*$", text, re.MULTILINE)
    if not header:
        raise ConfigError(
            f"there is no table [profiles.{profile}.archive] to refresh",
            "a profile whose packages come from an archive has one (docs/guide/stack.md)",
        )
    following = re.compile(r"^[ \t]*\[", re.MULTILINE).search(text, header.end())
    end = following.start() if following else len(text)
    body = text[header.end() : end]
    body = with_date(body, today) if tier is None else with_tier_date(body, tier, today)
    new = text[: header.end()] + body + text[end:]
    try:
        archive = tomllib.loads(new)["profiles"][profile]["archive"]
        moved = archive["date"] if tier is None else archive["tiers"][tier]
    except (tomllib.TOMLDecodeError, KeyError, TypeError):
        moved = ""
    if moved != str(today) or (tier is None and archive.get("tiers")):
        raise ConfigError(
            f"the table [profiles.{profile}.archive] is written in a way that cannot be edited",
            'write `date = "YYYY-MM-DD"`, and a tier\'s own as `tiers.NAME = "YYYY-MM-DD"`, each on a line',
        )
    return new


def refuse_future(stack: LoadedStack, today: date) -> None:
    """Raises ConfigError where the archive's date, or a tier's own, is to come. A day is let pass: it is tomorrow somewhere."""
    archive, table = stack.profile.archive, f"profiles.{stack.profile_name}.archive"
    if archive is None:
        return
    for key, day in [("date", archive.date), *((f"tiers.{tier}", day) for tier, day in archive.tiers.items())]:
        if date.fromisoformat(day) > today + timedelta(days=1):
            raise ConfigError(
                f"{stack.path}: {table}.{key} is {day}, which is to come; today is {today}",
                "`arrstack launch --refresh` makes it today",
            )


def refresh(stack: LoadedStack, tier: str | None, today: date) -> None:
    """Rewrites the stack file. Raises ConfigError for an unknown tier or a file that cannot be written."""
    if tier is not None:
        stack.tier(tier)
    try:
        text = refreshed(stack.path.read_text(encoding="utf-8"), stack.profile_name, tier, today)
        temporary = stack.path.with_name(stack.path.name + ".new")
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(stack.path)
    except OSError as error:
        raise ConfigError(f"{stack.path} cannot be rewritten: {error.strerror}") from None
