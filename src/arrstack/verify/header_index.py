"""What is kept of a library that streams past, so that most of it need not be inflated twice."""

from arrstack.verify.fatbin import CODE_PREFIX, CONTAINER, CONTAINER_VERSION, ENTRY, ENTRY_MAJOR, MAGIC, MAX_ENTRY_HEADER, WINDOW


class HeaderIndex:
    """Catches the headers of fat binaries, and a file's two ends, while the file streams past (`deflate.StreamIndex`).

    It only ever saves work: what it misses, or takes for a header by mistake, is read again by `read_container`.
    """

    pattern = MAGIC
    _END_BYTES = 1 << 16

    def __init__(self) -> None:
        self._windows: dict[int, bytes] = {}
        self._positions: list[int] = []
        self._head = b""
        self._tail = b""
        self._tail_at = 0
        self._carry = b""
        self._carry_at = 0
        self._next = 0
        self._container_end = 0

    def feed(self, chunk: bytes) -> None:
        if len(self._head) < self._END_BYTES:
            self._head += chunk[: self._END_BYTES - len(self._head)]
        data = self._carry + chunk
        self._note_positions(data)
        self._keep_windows(data)
        behind = min(len(data), max(0, self._next - self._carry_at))
        # Three bytes at least, so that a magic number across two chunks is found, and once only.
        behind = min(behind, max(0, len(data) - (len(MAGIC) - 1)))
        self._tail = (self._tail + chunk)[-self._END_BYTES :] if len(chunk) < self._END_BYTES else chunk[-self._END_BYTES :]
        self._tail_at = self._carry_at + len(data) - len(self._tail)
        self._carry = data[behind:]
        self._carry_at += behind

    def _note_positions(self, data: bytes) -> None:
        last = self._positions[-1] if self._positions else -1
        at = data.find(MAGIC)
        while at >= 0:
            if self._carry_at + at > last:
                self._positions.append(self._carry_at + at)
            at = data.find(MAGIC, at + 1)

    def _keep_windows(self, data: bytes) -> None:
        at = self._next - self._carry_at
        while True:
            absolute = self._carry_at + at
            inside = absolute < self._container_end
            if not inside:
                at = data.find(MAGIC, max(at, 0))
                if at < 0:
                    self._next = self._carry_at + max(0, len(data) - (len(MAGIC) - 1))
                    return
                absolute = self._carry_at + at
            if at + WINDOW > len(data):
                self._next = absolute
                return
            at += self._keep_entry(data, at, absolute) if inside else self._keep_container(data, at, absolute)

    def _keep_container(self, data: bytes, at: int, absolute: int) -> int:
        _, version, header_size, size = CONTAINER.unpack_from(data, at)
        if version != CONTAINER_VERSION or header_size != CONTAINER.size:
            return len(MAGIC)
        self._windows[absolute] = data[at : at + CONTAINER.size]
        self._container_end = absolute + header_size + size
        return CONTAINER.size

    def _keep_entry(self, data: bytes, at: int, absolute: int) -> int:
        _, version, header_size, stored, *_ = ENTRY.unpack_from(data, at)
        behind = absolute + header_size + stored
        if version >> 8 != ENTRY_MAJOR or not ENTRY.size <= header_size <= MAX_ENTRY_HEADER or behind > self._container_end:
            self._container_end = 0
            return 0
        self._windows[absolute] = data[at : at + max(WINDOW, header_size + CODE_PREFIX)]
        return int(header_size + stored)

    def finish(self) -> None:
        self._carry = b""

    def window(self, offset: int, length: int) -> bytes | None:
        kept = self._windows.get(offset)
        if kept is not None and length <= len(kept):
            return kept[:length]
        if offset + length <= len(self._head):
            return self._head[offset : offset + length]
        if offset >= self._tail_at and offset + length <= self._tail_at + len(self._tail):
            return self._tail[offset - self._tail_at : offset - self._tail_at + length]
        return None

    def positions(self) -> list[int]:
        return self._positions
