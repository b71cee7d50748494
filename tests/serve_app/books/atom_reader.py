"""Reads an MP4 file by the standard, apart from the writer: atoms, iTunes' values, chapters of both kinds, samples."""

from __future__ import annotations

import itertools
import struct
from pathlib import Path

AROUND = {
    b"moov": 0,
    b"trak": 0,
    b"mdia": 0,
    b"minf": 0,
    b"stbl": 0,
    b"udta": 0,
    b"meta": 4,
    b"ilst": 0,
    b"tref": 0,
}


class Mp4:
    """atoms: (path, offset, content) in the order of the file; a path is like "moov/trak/tkhd"."""

    def __init__(self, path: Path) -> None:
        self.data = path.read_bytes()
        self.atoms: list[tuple[str, int, bytes]] = []
        self._walk(0, len(self.data), "")

    def _walk(self, at: int, end: int, path: str) -> None:
        while at < end:
            size, kind = struct.unpack_from(">I4s", self.data, at)
            head = 8
            if size == 1:
                (size,), head = struct.unpack_from(">Q", self.data, at + 8), 16
            assert size >= head and at + size <= end, f"{path}{kind} is cut off"
            name = path + kind.decode("latin-1")
            self.atoms.append((name, at, self.data[at + head : at + size]))
            if kind in AROUND or path.endswith("ilst/"):
                self._walk(at + head + AROUND.get(kind, 0), at + size, name + "/")
            at += size
        assert at == end

    def all(self, path: str) -> list[bytes]:
        return [content for name, _, content in self.atoms if name == path]

    @property
    def top(self) -> list[str]:
        return [name for name, _, _ in self.atoms if "/" not in name]

    @property
    def brand(self) -> bytes:
        return self.all("ftyp")[0][:4]

    def value(self, kind: str) -> bytes | None:
        """What iTunes' atom of this kind holds."""
        found = self.all(f"moov/udta/meta/ilst/{kind}/data")
        return found[0][8:] if found else None

    @property
    def freeform(self) -> dict[str, str]:
        path = "moov/udta/meta/ilst/----/"
        means, names, values = (self.all(path + kind) for kind in ("mean", "name", "data"))
        assert all(mean[4:] == b"com.apple.iTunes" for mean in means)
        assert all(value[:4] == b"\0\0\0\1" for value in values), "UTF-8"
        return {n[4:].decode(): v[8:].decode() for n, v in zip(names, values, strict=True)}

    @property
    def nero_chapters(self) -> list[tuple[float, str]]:
        """(seconds, title)."""
        (data,) = self.all("moov/udta/chpl")
        count, at, found = data[8], 9, []
        for _ in range(count):
            start, size = struct.unpack_from(">QB", data, at)
            found.append((start / 10_000_000, data[at + 9 : at + 9 + size].decode()))
            at += 9 + size
        return found

    @property
    def quicktime_chapters(self) -> list[tuple[float, str]]:
        """(seconds, title) of the text track that the sound refers to."""
        tracks = self._tracks()
        (chapters,) = {struct.unpack(">I", t["tref/chap"])[0] for t in tracks.values() if "tref/chap" in t}
        track = tracks[chapters]
        scale = struct.unpack_from(">I", track["mdia/mdhd"], 12)[0]
        time, found = 0, []
        for duration, sample in zip(self._durations(track), self._samples(track), strict=True):
            size = struct.unpack_from(">H", sample)[0]
            found.append((time / scale, sample[2 : 2 + size].decode()))
            time += duration
        return found

    def sound(self) -> list[bytes]:
        """The frames of AAC, found through the tables of offsets."""
        tracks = self._tracks().values()
        (track,) = [t for t in tracks if t["mdia/hdlr"][8:12] == b"soun"]
        return self._samples(track)

    def _tracks(self) -> dict[int, dict[str, bytes]]:
        tracks: list[dict[str, bytes]] = []
        for name, _, content in self.atoms:
            if name == "moov/trak":
                tracks.append({})
            elif name.startswith("moov/trak/"):
                tracks[-1][name.removeprefix("moov/trak/")] = content
        return {struct.unpack_from(">I", track["tkhd"], 12)[0]: track for track in tracks}

    def _durations(self, track: dict[str, bytes]) -> list[int]:
        data = track["mdia/minf/stbl/stts"]
        pairs = struct.iter_unpack(">II", data[8:])
        return [duration for count, duration in pairs for _ in range(count)]

    def _samples(self, track: dict[str, bytes]) -> list[bytes]:
        table = {name.rpartition("/")[2]: content for name, content in track.items() if "/stbl/" in name}
        same, count = struct.unpack_from(">II", table["stsz"], 4)
        sizes = [same] * count if same else list(struct.unpack_from(f">{count}I", table["stsz"], 12))
        wide = "co64" in table
        offsets = [
            o for (o,) in struct.iter_unpack(">Q" if wide else ">I", table["co64" if wide else "stco"][8:])
        ]
        groups = [*struct.iter_unpack(">III", table["stsc"][8:]), (len(offsets) + 1, 0, 0)]
        per_chunk = [n for (a, n, _), (b, _, _) in itertools.pairwise(groups) for _ in range(a, b)]
        samples: list[bytes] = []
        for offset, number in zip(offsets, per_chunk, strict=True):
            for _ in range(number):
                size = sizes[len(samples)]
                samples.append(self.data[offset : offset + size])
                offset += size
        return samples
