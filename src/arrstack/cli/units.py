"""Pure: text, seconds and bytes as a person reads them."""

from rich import markup

from arrstack.text import visible


def escape(text: str) -> str:
    """One line of text for the console: neither the terminal nor rich's markup takes any of it as a command."""
    return markup.escape(visible(text))


def duration(seconds: float) -> str:
    """Seconds as a person says them."""
    whole = round(seconds)
    if whole < 100:
        return f"{whole} s"
    minutes = whole / 60
    return f"{minutes:.0f} min" if minutes < 100 else f"{minutes / 60:.1f} h"


def size(count: int) -> str:
    """Bytes as a person says them."""
    value = float(count)
    for unit in ("B", "KiB", "MiB", "GiB"):
        if value < 1024 or unit == "GiB":
            return f"{value:.0f} {unit}" if unit in ("B", "KiB") else f"{value:.1f} {unit}"
        value /= 1024
    return ""
