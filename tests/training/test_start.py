"""Weights of one phone set as the start for those of another."""

from __future__ import annotations

import pytest
import torch

from deployments.families.small.config import SmallConfig
from deployments.families.small.phones import PHONE_SETS
from training.next_voice import NEXT, PHONES
from training.start import phone_rows, similar


@pytest.mark.parametrize(
    ("symbol", "old"),
    [
        *[("_", "_"), ("^", "pau"), (",", "pau"), (".", "pau"), ("?", "pau?"), ("!", "pau!")],
        *[("ˈA", "ey"), ("ˌI", "ay"), ("ɜ", "er"), ("t", "t"), ("B", "B"), ("UANG4", "UANG4")],
    ],
)
def test_a_phone_begins_as_the_most_similar_one(symbol, old):
    assert similar(symbol) == old


def test_every_phone_has_a_row_of_the_old_set():
    old = SmallConfig()
    rows = phone_rows(torch.arange(old.n_phones).unsqueeze(1), old)[:, 0].tolist()
    symbols = [PHONE_SETS["flite"].symbols[row] for row in rows]
    assert len(symbols) == len(PHONES.symbols)
    assert len(set(symbols)) > 0.8 * len(PHONE_SETS["flite"].symbols)


def test_the_same_set_stays():
    rows = torch.rand(NEXT.n_phones, 4)
    assert phone_rows(rows, NEXT) is rows
