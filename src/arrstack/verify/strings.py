"""The names of an ELF file, in a table that other tables point into."""

MAX_NAME = 64 << 10


class ElfError(Exception):
    """An ELF file that is truncated or contradicts itself; the message is one line for a person."""


class StringTable:
    """Names that end with a zero byte, read by their offset. Source: gABI 4.1, "String Table".

    Each name is read once. All of them together may not be much longer than the table, which only names that lie over each
    other could be: their number times their length would be a matter of hours.

        StringTable(b"\\0libc.so.6\\0").name(1)   # "libc.so.6"
    """

    def __init__(self, data: bytes) -> None:
        self.data = data
        self._names: dict[int, str] = {}
        self._left = 8 * len(data) + MAX_NAME

    def name(self, at: int) -> str:
        """The name at an offset. Raises ElfError where that is outside, the name has no end, or is longer than MAX_NAME."""
        if (known := self._names.get(at)) is not None:
            return known
        if not 0 <= at < len(self.data):
            raise ElfError(f"a name at {at}, outside of its table of {len(self.data)} bytes")
        end = self.data.find(b"\0", at, at + MAX_NAME)
        if end < 0:
            raise ElfError(f"the name at {at} has no end, or more than {MAX_NAME} bytes")
        self._left -= end - at
        if self._left < 0:
            raise ElfError("its names lie over each other")
        name = self._names[at] = self.data[at:end].decode("utf-8", "replace")
        return name
