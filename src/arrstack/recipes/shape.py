"""Whether the tables of a file are what they must be: all that is wrong is found at once, each by its place and key."""

import difflib
import re
from collections.abc import Iterable, Mapping
from typing import Annotated, Any, Literal, get_args, get_origin

import msgspec

MOST_PROBLEMS = 10
"""So many are told; who has more has another file."""
PLAIN = re.compile(r"[a-z0-9._-]{1,100}")
"""A name by which a table of a list is called; one with a fault says nothing of where it stands."""


def problems(value: object, kind: Any, place: str = "") -> list[str]:
    """What is wrong with a value that should be of a kind: `PLACE: what`, each with the nearest that would be right.

    Kinds are types that msgspec knows. Structs, and lists and tables of them, are looked into.
    """
    if type(None) in get_args(kind):  # a TOML file has no null: what is there is the other
        kind = next(each for each in get_args(kind) if each is not type(None))
    if is_struct(kind):
        return of_struct(value, kind, place)
    if tagged := structs_of(kind):
        field = tagged[0].__struct_config__.tag_field or ""
        wanted = {str(each.__struct_config__.tag): each for each in tagged}
        named = str(value.get(field)) if isinstance(value, dict) else ""
        if named in wanted:
            return problems(value, wanted[named], place)
        return [at(place, f"`{field}` is one of {', '.join(wanted)}{nearest(named, wanted)}")]
    inner = get_args(kind)
    if get_origin(kind) is tuple and isinstance(value, list) and is_struct(inner[0]):
        return [
            told
            for number, each in enumerate(value)
            for told in problems(each, inner[0], joined(place, entry_name(each, number)))
        ]
    if get_origin(kind) is dict and isinstance(value, dict):
        return [told for key, each in value.items() for told in of_entry(key, each, inner, place)]
    return of_value(value, kind, place)


def of_entry(key: str, value: object, inner: tuple[Any, ...], place: str) -> list[str]:
    """What is wrong with one key of a table whose keys are of the file's choosing."""
    return of_value(key, inner[0], joined(place, key)) or problems(value, inner[1], joined(place, key))


def of_struct(value: object, kind: Any, place: str) -> list[str]:
    if not isinstance(value, dict):
        return of_value(value, kind, place)
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    known = {*fields, kind.__struct_config__.tag_field}
    found = []
    for key, each in value.items():
        if key not in known:
            found.append(at(place, f"the table contains unknown key `{key}`{nearest(key, fields)}"))
        elif key in fields:
            found += problems(each, fields[key].type, joined(place, key))
    found += [
        at(place, f"the table lacks the key `{name}`") for name, field in fields.items() if field.required and name not in value
    ]
    return found or of_value(value, kind, place)


def of_value(value: object, kind: Any, place: str) -> list[str]:
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    if choices and isinstance(value, str) and value not in choices:
        return [at(place, f"'{value}' is not one of {', '.join(choices)}{nearest(value, choices)}")]
    try:
        msgspec.convert(value, kind)
    except msgspec.ValidationError as error:
        told, _, below = str(error).replace("Object", "the table").replace(" field ", " key ").partition(" - at `")
        where = below.removeprefix("$").rstrip("`").replace("[", ".").replace("]", "").strip(".")
        meta = get_args(kind)[1] if get_origin(kind) is Annotated else None
        if meta is not None and meta.description and isinstance(value, str):
            told = f"'{value}' is not {meta.description}"
        return [at(joined(place, where) if "..." not in where else place, told)]
    return []


def entry_name(table: object, number: int) -> str:
    """How a table of a list is called: by its name, where it has one."""
    name = table.get("name") if isinstance(table, dict) else None
    return name if isinstance(name, str) and PLAIN.fullmatch(name) else str(number)


def is_struct(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, msgspec.Struct)


def structs_of(kind: Any) -> list[Any]:
    """The structs of a union that a key tells apart."""
    found = get_args(kind)
    return list(found) if found and all(is_struct(each) for each in found) and get_origin(kind) is not tuple else []


def nearest(word: str, choices: Mapping[str, object] | tuple[str, ...]) -> str:
    close = difflib.get_close_matches(word, [*choices], 1)
    return f" (nearest: `{close[0]}`)" if close else ""


def joined(place: str, key: str) -> str:
    return ".".join(filter(None, (place, key)))


def at(place: str, told: str) -> str:
    return f"{place}: {told}" if place else told


def tiers_hint(names: Iterable[str], wanted: str) -> str:
    """The tiers that there are, and the nearest to the one that there is not."""
    known = tuple(names)
    return f"its tiers: {', '.join(known)}{nearest(wanted, known)}"
