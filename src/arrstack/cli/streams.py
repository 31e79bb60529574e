"""Standard output and errors as they are: what their encoding can hold, and JSON documents."""

import io
import json
import sys

from arrstack.text import visible_json


def json_text(value: object, indent: int | None = None) -> str:
    """A value as JSON that standard output can encode, with every character that draws nothing escaped."""
    utf8 = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return visible_json(json.dumps(value, ensure_ascii=not utf8, indent=indent))


def replace_what_cannot_be_encoded() -> None:
    """Standard output and errors write `?` for a character that their encoding lacks, instead of raising."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


def print_json(value: object) -> None:
    """A document on standard output."""
    print(json_text(value, indent=1))
