"""Reads the ID3v2.3 tag of an MP3 file by the standard, apart from the writer."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Chapter:
    """begin, end: in ms."""

    id: str
    begin: int
    end: int
    title: str


class Id3:
    """frames: (id, content) in the order of the file."""

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        assert data[:3] == b"ID3" and data[3] == 3, "not ID3v2.3"
        size = sum((byte & 127) << (7 * power) for power, byte in enumerate(reversed(data[6:10])))
        self.frames = list(_frames(data[10 : 10 + size]))

    @property
    def contents(self) -> tuple[int, list[str]]:
        """The flags and the chapters' ids of the table of contents."""
        (body,) = [content for id, content in self.frames if id == "CTOC"]
        _, _, rest = body.partition(b"\0")
        flags, count, rest = rest[0], rest[1], rest[2:]
        ids = []
        for _ in range(count):
            id, _, rest = rest.partition(b"\0")
            ids.append(id.decode("ascii"))
        assert list(_frames(rest)) == [], "frames follow the table"
        return flags, ids

    @property
    def chapters(self) -> list[Chapter]:
        return [_chapter(content) for id, content in self.frames if id == "CHAP"]


def _chapter(body: bytes) -> Chapter:
    id, _, rest = body.partition(b"\0")
    begin, end = struct.unpack_from(">II", rest)
    ((name, title),) = list(_frames(rest[16:]))
    assert name == "TIT2"
    encoding = {0: "latin-1", 1: "utf-16"}[title[0]]
    return Chapter(id.decode("ascii"), begin, end, title[1:].decode(encoding).rstrip("\0"))


def _frames(data: bytes) -> Iterator[tuple[str, bytes]]:
    at = 0
    while at + 10 <= len(data) and data[at]:
        (size,) = struct.unpack_from(">I", data, at + 4)
        assert at + 10 + size <= len(data), "a frame is cut off"
        yield data[at : at + 4].decode("ascii"), data[at + 10 : at + 10 + size]
        at += 10 + size
    assert not any(data[at:]), "something else than padding follows"
