"""Faults of single seeds are found: omitted words, repeated words, endless sound."""

from __future__ import annotations

import numpy as np
import pytest

from deployments.text.phones import PHONES
from training.phone_net import load_phone_net
from training.seeds import Fit, faults, fit, gaps, longest_run
from training.shipped import Shipped, reference
from training.warm import SHIPPED

TEXT = "The children ran down to the lake before breakfast."
CUT = 12_000  # samples: two words


@pytest.fixture(scope="module")
def spoken() -> tuple[Shipped, np.ndarray, np.ndarray]:
    """The networks, a sentence, its phones."""
    shipped = Shipped()
    vector = shipped.vector(reference("ross"))
    return shipped, shipped.say([TEXT], vector, temperature=0.0)[0], shipped.phones(TEXT).numpy()


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        (lambda w: w, ""),
        (lambda w: np.concatenate([w[:16000], w[16000 + CUT :]]), "not heard"),
        (lambda w: np.concatenate([w[: 16000 + CUT], w[16000:]]), "none of its phones"),
    ],
    ids=["as it was", "dropped", "twice"],
)
def test_omissions_and_repetitions_are_reported(spoken, change, fault):
    shipped, waveform, phones = spoken
    found = fit(load_phone_net(SHIPPED), shipped.mel, change(waveform), phones).fault
    assert fault in found
    assert bool(found) == bool(fault)


@pytest.mark.parametrize(
    ("heard", "worst"),
    [
        ("the cat sat on the mat", (0, 0)),
        ("the cat sat the mat", (1, 0)),
        ("the mat", (4, 0)),
        ("the cat sat on cat sat on the mat", (0, 3)),
        ("the dog sat on a mat", (0, 0)),  # other words, the same number
        ("", (6, 0)),
    ],
)
def test_alignments_have_gaps_at_omissions_and_repetitions(heard, worst):
    assert gaps("the cat sat on the mat".split(), heard.split()) == worst


def test_alignment_uses_the_fewest_edits():
    """A long run that both share by chance must not anchor the alignment."""
    meant = "dh ax w ao t er w aa z t uw k ow l d f ao r ax s w ih m t ax d ey"
    heard = "dh ax w aa t er w aa z t uw k ow l d f ao r ax s w eh n t ih d ey"
    assert gaps(meant.split(), heard.split()) == (0, 0)


def test_gaps_are_faults():
    assert [bool(Fit(0, 0.0, 2.0, *worst).fault) for worst in ((0, 0), (2, 2), (3, 0), (0, 3))] == [
        False, False, True, True,
    ]  # fmt: skip


def test_an_unusual_length_is_reported():
    fits = [Fit(0, 0.0, seconds) for seconds in (2.0, 2.1, 1.9, 2.0, 4.0, 1.0)]
    assert [bool(fault) for fault in faults(fits)] == [False] * 4 + [True] * 2


@pytest.mark.parametrize(("flags", "run"), [("", 0), ("0", 0), ("1", 1), ("0110111", 3), ("1111", 4)])
def test_longest_run(flags, run):
    assert longest_run(np.array([flag == "1" for flag in flags], dtype=bool)) == run


def test_a_wrong_tone_is_not_an_omission(spoken) -> None:
    shipped, _, _ = spoken
    text = "我们明天一起去图书馆看书吧。"
    phones = shipped.phones(text).numpy()
    said = shipped.say([text], shipped.vector(reference("lan")), 0.0, seed=0)[0]
    names = [PHONES[p] for p in phones]
    others = np.array([PHONES.index(n[:-1] + "5" if n[-1].isdigit() else n) for n in names])
    net = load_phone_net(SHIPPED)
    assert (others != phones).sum() > 5
    assert fit(net, shipped.mel, said, others) == fit(net, shipped.mel, said, phones)
    assert not fit(net, shipped.mel, said, phones).fault
