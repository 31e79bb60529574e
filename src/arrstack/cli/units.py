"""Pure: text as rich's console takes it."""

from rich import markup

from arrstack.text import visible


def escape(text: str) -> str:
    """One line of text for the console: neither the terminal nor rich's markup takes any of it as a command."""
    return markup.escape(visible(text))
