"""The phone symbols and their ids: initials, toned finals, ARPAbet with stress, marks, and those of other languages.

symbols.txt lists them in the order of their ids. The table of v1 is the beginning of that of the later versions.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from pathlib import Path

import numpy as np

V1_SIZE = 322
UNKNOWN = "UNK"


@cache
def symbols(version: str = "v2") -> tuple[str, ...]:
    """The symbols by id. version: "v1", or any later one for the full table."""
    table = tuple(Path(__file__).with_name("symbols.txt").read_text(encoding="utf-8").split())
    return table[:V1_SIZE] if version == "v1" else table


@cache
def _ids(version: str) -> dict[str, int]:
    return {symbol: index for index, symbol in enumerate(symbols(version))}


def known(phone: str, version: str = "v2") -> str:
    """The phone itself, or `UNKNOWN` if the table has no such symbol."""
    return phone if phone in _ids(version) else UNKNOWN


def to_ids(phones: Iterable[str], version: str = "v2") -> np.ndarray:
    """int64 (P,). A phone outside the table gets the id of `UNKNOWN`."""
    table = _ids(version)
    return np.array([table.get(phone, table[UNKNOWN]) for phone in phones], np.int64)
