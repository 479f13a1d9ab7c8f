# SPDX-License-Identifier: GPL-3.0-or-later
"""What psycopg2's copy_expert reads binary COPY from."""

from __future__ import annotations

from collections.abc import Iterator

from .packer import COPY_HEADER, COPY_TRAILER

#: libpq keeps room for the largest piece that it was ever given.
_MOST_SENT = 1 << 20


def _sliced(chunk: bytes) -> Iterator[bytes]:
    for at in range(0, len(chunk), _MOST_SENT):
        yield bytes(memoryview(chunk)[at : at + _MOST_SENT])


class CopyStream:
    """A file for copy_expert that packs rows while they are read from it."""

    def __init__(self, chunks: Iterator[tuple[bytes, int]]) -> None:
        self._chunks = chunks
        self._state = 0
        self._slices: Iterator[bytes] | None = None
        self.rows = 0
        self.bytes = 0
        self.error: BaseException | None = None

    def read(self, _size: int = -1) -> bytes:
        """The next chunk, whatever its size; empty at the end."""
        try:
            return self._read()
        except BaseException as error:
            # psycopg2 turns it into an error of its own, with the text only.
            self.error = error
            raise

    def _read(self) -> bytes:
        if self._state == 0:
            self._state = 1
            return COPY_HEADER
        if self._state == 2:
            return b""
        if self._slices is not None:
            piece = next(self._slices, None)
            if piece is not None:
                return piece
            self._slices = None
        for chunk, rows in self._chunks:
            self.rows += rows
            self.bytes += len(chunk)
            if len(chunk) > _MOST_SENT:
                self._slices = _sliced(chunk)
                return next(self._slices)
            if chunk:
                return chunk
        self._state = 2
        return COPY_TRAILER
