"""Syllables and tones, counted."""

from __future__ import annotations

import pytest
import torch

from deployments.families.small.config import SmallConfig
from deployments.text.mandarin.pinyin import syllables
from deployments.text.phones import phone_ids
from training.listener import Errors, Listener, compare, syllables_of


def ids(text: str) -> list[int]:
    return phone_ids([phone for syllable in syllables(text) for phone in syllable.phones])


def test_phones_become_syllables():
    assert syllables_of(ids("今天很爱")) == [
        ("J+IN", "1"),
        ("T+IAN", "1"),
        ("H+EN", "3"),
        ("+AI", "4"),
    ]


@pytest.mark.parametrize(
    ("meant", "heard", "wrong", "matched", "tones"),
    [
        ("今天下雨", "今天下雨", 0, 4, 0),
        ("今天下雨", "今田下雨", 0, 4, 1),
        ("今天下雨", "今天下", 1, 3, 0),
        ("今天下雨", "今天他下雨", 1, 4, 0),
        ("今天下雨", "今他下鱼", 1, 3, 1),
        ("今天下雨", "", 4, 0, 0),
    ],
)
def test_errors_are_counted(meant, heard, wrong, matched, tones):
    errors = Errors()
    compare(ids(meant), ids(heard), errors)
    assert (errors.syllables, errors.wrong, errors.matched, errors.tones) == (4, wrong, matched, tones)
    assert errors.syllable_rate == wrong / 4


def test_predictions_do_not_depend_on_padding_and_distinguish_pitch():
    torch.manual_seed(0)
    net, rate = Listener(SmallConfig()).eval(), 16000
    glide = torch.sin(torch.cumsum(torch.linspace(120, 240, rate), 0) * 2 * torch.pi / rate)
    frames = torch.tensor([100, 200])
    rows = torch.stack([torch.nn.functional.pad(0.1 * glide, (0, rate)), 0.1 * torch.randn(2 * rate)])
    together, alone = net.features(rows, frames), net.features(0.1 * glide.unsqueeze(0), frames[:1])
    torch.testing.assert_close(
        together[0, :95], alone[0, :95], atol=0.01, rtol=0
    )  # the last ones see the edge
    assert not together[0, 100:].any()
    pitch, voiced = alone[0, 5:95, -2], alone[0, 5:95, -1]
    assert voiced.all() and (pitch.diff() > 0).all()
    assert abs(float(pitch.mean())) < 0.1
