"""Freeform atoms: the sound stays reachable however `moov` grows."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest

from serve_app.books import atoms
from serve_app.books.atoms import Unreadable, add_freeform
from serve_app.books.audiobook import Contents, write
from serve_app.books.timeline import Mark
from tests.serve_app.books.atom_reader import Mp4
from tests.serve_app.books.conftest import RATE


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    """An M4B with two chapters and no freeform values."""
    rng = np.random.default_rng(0)
    path = tmp_path / "plain.m4b"
    marks = [Mark(0, "One", 0, RATE), Mark(1, "Two", RATE, 3 * RATE)]
    sound = [0.1 * rng.standard_normal(3 * RATE).astype(np.float32)]
    write(path, "m4b", sound, RATE, Contents({"title": "Plain"}, {}, marks))
    return path


def box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def moov(offsets: list[int]) -> bytes:
    """With one track and an empty list of values."""
    table = box(b"stco", struct.pack(f">II{len(offsets)}I", 0, len(offsets), *offsets))
    track = box(b"trak", box(b"mdia", box(b"minf", box(b"stbl", table + box(b"stsz", bytes(12))))))
    return box(b"moov", track + box(b"udta", box(b"meta", bytes(4) + box(b"ilst", b""))))


def test_values_are_added_and_every_sample_stays_the_same(plain, tmp_path):
    target = tmp_path / "more.m4b"
    values = {"series": "Größe 第三", "isbn": "978", "long": "x" * 10_000}
    add_freeform(plain, target, values)
    before, after = Mp4(plain), Mp4(target)
    assert after.freeform == values
    assert after.sound() == before.sound() and len(after.sound()) > 70
    assert after.quicktime_chapters == before.quicktime_chapters
    assert after.value("©nam") == b"Plain"
    assert after.all("mdat") == before.all("mdat")


def test_values_can_be_added_again(plain, tmp_path):
    first, second = tmp_path / "a", tmp_path / "b"
    add_freeform(plain, first, {"a": "1"})
    add_freeform(first, second, {"b": "2"})
    assert Mp4(second).freeform == {"a": "1", "b": "2"}
    assert Mp4(second).sound() == Mp4(plain).sound()


def test_offsets_that_no_longer_fit_into_32_bits_get_64():
    offsets = [1000, 2**32 - 20]
    data = moov(offsets)
    value = atoms.freeform("series", "x" * 100)
    grown = atoms._Edit(data, value).result()
    by = len(grown) - len(data)
    assert by == len(value) + 4 * len(offsets)
    at = grown.index(b"co64")
    assert struct.unpack_from(">II2Q", grown, at + 4) == (0, 2, 1000 + by, 2**32 - 20 + by)
    assert struct.unpack(">I", grown[:4])[0] == len(grown)
    assert b"stco" not in grown


def test_offsets_just_below_the_limit_keep_32_bits():
    value = atoms.freeform("series", "x")
    data = moov([2**32 - 1 - len(value)])
    grown = atoms._Edit(data, value).result()
    assert len(grown) == len(data) + len(value)
    assert struct.unpack_from(">I", grown, grown.index(b"stco") + 12) == (2**32 - 1,)


def test_a_file_whose_moov_comes_after_its_sound_is_rejected(tmp_path):
    path = tmp_path / "late.mp4"
    path.write_bytes(box(b"ftyp", b"M4B ") + box(b"mdat", bytes(100)) + moov([20]))
    with pytest.raises(Unreadable):
        add_freeform(path, tmp_path / "out", {"a": "b"})


@pytest.mark.parametrize("cut", [3, 20, 60, 100, 200])
def test_a_file_that_is_cut_off_is_refused(cut, tmp_path):
    path = tmp_path / "cut.mp4"
    path.write_bytes((box(b"ftyp", b"M4B ") + moov([20]))[:-cut])
    with pytest.raises(Unreadable):
        add_freeform(path, tmp_path / "out", {"a": "b"})


def test_a_table_that_states_a_wrong_count_is_refused(tmp_path):
    data = moov([20, 40]).replace(struct.pack(">II", 0, 2), struct.pack(">II", 0, 2**31))
    path = tmp_path / "count.mp4"
    path.write_bytes(box(b"ftyp", b"M4B ") + data)
    with pytest.raises(Unreadable):
        add_freeform(path, tmp_path / "out", {"a": "b"})
