"""Pure: text, seconds and bytes as a person reads them."""

from rich import markup

from arrstack.text import duration, size, visible

__all__ = ["duration", "escape", "size"]


def escape(text: str) -> str:
    """One line of text for the console: neither the terminal nor rich's markup takes any of it as a command."""
    return markup.escape(visible(text))
