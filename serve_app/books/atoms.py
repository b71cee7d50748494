"""Freeform iTunes atoms in an MP4 file whose `moov` comes before its sound.

`----` holds a value under a custom name, for values that have no iTunes atom, such as a book's series. FFmpeg reads
these atoms but does not write them. `moov` grows by them, so every offset that it holds grows too.
"""

from __future__ import annotations

import shutil
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

DOMAIN = b"com.apple.iTunes"
UTF8 = 1  # the type of a value
LIST = (b"moov", b"udta", b"meta", b"ilst")  # where iTunes' values are
TABLES = (b"moov", b"trak", b"mdia", b"minf", b"stbl")  # where a track's offsets are
HEADERS: dict[tuple[bytes, ...], int] = {LIST[:3]: 4}  # bytes of version and flags before the first child
OFFSETS = {b"stco": "I", b"co64": "Q"}
BLOCK = 1 << 20  # bytes copied at once


class Unreadable(ValueError):
    """The file has no `moov` with iTunes' list before its sound, or is damaged."""


@dataclass(frozen=True, slots=True)
class Atom:
    """begin, end: of the whole atom, in bytes; body: where its content begins."""

    kind: bytes
    begin: int
    body: int
    end: int


def add_freeform(source: Path, target: Path, values: Mapping[str, str]) -> None:
    """Copies the file to `target` with one atom for each name and value. Memory: the size of `moov`.

    Raises Unreadable.
    """
    with source.open("rb") as file, target.open("wb") as out:
        moov = _find_moov(file)
        file.seek(moov.begin)
        data = file.read(moov.end - moov.begin)
        edit = _Edit(data, b"".join(freeform(name, value) for name, value in values.items()))
        file.seek(0)
        out.write(file.read(moov.begin))
        out.write(edit.result())
        file.seek(moov.end)
        shutil.copyfileobj(file, out, BLOCK)


def freeform(name: str, value: str) -> bytes:
    """The `----` atom."""
    mean = _atom(b"mean", bytes(4) + DOMAIN)
    return _atom(b"----", mean + _atom(b"name", bytes(4) + name.encode()) + _data(value))


def children(data: bytes, begin: int, end: int) -> Iterator[Atom]:
    """The atoms between two offsets. Raises Unreadable if they do not fill the space."""
    at = begin
    while at < end:
        atom = _header(data[at : at + 16], at, end)
        yield atom
        at = atom.end


def _data(value: str) -> bytes:
    return _atom(b"data", struct.pack(">II", UTF8, 0) + value.encode())


def _atom(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def _header(head: bytes, at: int, end: int) -> Atom:
    """The atom at offset `at`. Its size is 0 if it reaches to the end, and 1 if 64 bits follow."""
    if len(head) < 8:
        raise Unreadable("An atom is cut off.")
    size, kind = struct.unpack(">I4s", head[:8])
    body = 8
    if size == 1 and len(head) >= 16:
        (size,), body = struct.unpack(">Q", head[8:16]), 16
    size = size or end - at
    if size < body or at + size > end:
        raise Unreadable("An atom is cut off.")
    return Atom(kind, at, at + body, at + size)


def _find_moov(file: BinaryIO) -> Atom:
    end, at = file.seek(0, 2), 0
    while at < end:
        file.seek(at)
        atom = _header(file.read(16), at, end)
        if atom.kind == b"moov":
            return atom
        if atom.kind == b"mdat":
            break
        at = atom.end
    raise Unreadable("The file has no 'moov' before its sound.")


class _Edit:
    """`moov` with `atoms` at the end of iTunes' list, and with offsets that allow for its growth."""

    def __init__(self, moov: bytes, atoms: bytes) -> None:
        self._moov, self._atoms = moov, atoms
        self._by, self._wide = 0, False  # by: what offsets are raised by; wide: all tables have 64 bits
        self._listed, self._largest = False, 0

    def result(self) -> bytes:
        """Raises Unreadable."""
        top = _header(self._moov[:16], 0, len(self._moov)), (b"moov",)
        self._survey(*top)
        if not self._listed:
            raise Unreadable("The file has no list of iTunes' values.")
        growth = len(self._rebuilt(*top)) - len(self._moov)
        if self._largest + growth >= 2**32:
            self._wide = True
            growth = len(self._rebuilt(*top)) - len(self._moov)
        self._by = growth
        return self._rebuilt(*top)

    def _children(self, atom: Atom, path: tuple[bytes, ...]) -> list[tuple[Atom, tuple[bytes, ...]]]:
        found = children(self._moov, atom.body + HEADERS.get(path, 0), atom.end)
        return [(child, (*path, child.kind)) for child in found]

    def _survey(self, atom: Atom, path: tuple[bytes, ...]) -> None:
        self._listed |= path == LIST
        if _is_around(path):
            for child in self._children(atom, path):
                self._survey(*child)
        elif _is_table(path):
            self._largest = max(self._largest, *self._offsets(atom), 0)

    def _rebuilt(self, atom: Atom, path: tuple[bytes, ...]) -> bytes:
        if _is_around(path):
            head = self._moov[atom.body : atom.body + HEADERS.get(path, 0)]
            body = b"".join(self._rebuilt(*child) for child in self._children(atom, path))
            return _atom(atom.kind, head + body + (self._atoms if path == LIST else b""))
        if _is_table(path):
            kind = b"co64" if self._wide else atom.kind
            raised = [offset + self._by for offset in self._offsets(atom)]
            head = self._moov[atom.body : atom.body + 8]
            return _atom(kind, head + struct.pack(f">{len(raised)}{OFFSETS[kind]}", *raised))
        return self._moov[atom.begin : atom.end]

    def _offsets(self, table: Atom) -> tuple[int, ...]:
        form = OFFSETS[table.kind]
        head = self._moov[table.body : min(table.body + 8, table.end)]
        count = struct.unpack(">I", head[4:])[0] if len(head) == 8 else -1
        if table.end - table.body != 8 + count * struct.calcsize(">" + form):
            raise Unreadable("A table of offsets is damaged.")
        return struct.unpack_from(f">{count}{form}", self._moov, table.body + 8)


def _is_around(path: tuple[bytes, ...]) -> bool:
    """Whether the atom at this path holds others that change."""
    return path in (LIST[: len(path)], TABLES[: len(path)])


def _is_table(path: tuple[bytes, ...]) -> bool:
    return path[:-1] == TABLES and path[-1] in OFFSETS
