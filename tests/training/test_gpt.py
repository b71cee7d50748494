"""What the GPT sees in training: true codes, and some that it drew itself."""

from __future__ import annotations

import numpy as np
import torch

from training.encode import Encoded
from training.gpt import DRAWN, IGNORED, Batches
from training.next_voice import NEXT

TRUE, OWN = 3, 7  # codes
STEPS = (400, 300)  # of the rows


def encoded() -> Encoded:
    rows, longest = len(STEPS), max(STEPS)
    steps = torch.arange(longest).expand(rows, -1)
    codes = torch.full((rows, longest), TRUE, dtype=torch.int16)
    codes[steps >= torch.tensor(STEPS).unsqueeze(1)] = 0
    return Encoded(
        codes=codes,
        pointer=(steps // 10).short(),
        stay=(steps % 10).short(),
        phones=torch.ones(rows, longest // 10, dtype=torch.int16),
        speaker=torch.zeros(rows, NEXT.speaker_dim),
        pace=torch.ones(rows),
        steps=np.array(STEPS),
        phones_of=np.array([steps // 10 for steps in STEPS]),
        names=["a", "b"],
        held=np.zeros(rows, bool),
    )


def test_a_part_of_the_inputs_are_codes_that_the_model_drew_and_the_targets_are_true() -> None:
    torch.manual_seed(0)
    batches = Batches(encoded(), budget=sum(STEPS) * 2, rank=0, size=1, seed=0)
    first = batches.next()
    assert set(first["codes"].unique().tolist()) <= {0, TRUE, NEXT.bos}, (
        "nothing is drawn before the first step"
    )
    sure = torch.full((*first["codes"].shape, NEXT.n_codes), -20.0)
    sure[..., OWN] = 20.0
    batches.remember(first["rows"], sure)
    batch = batches.next()
    assert (batch["codes"][:, 0] == NEXT.bos).all()
    real = batch["next"][:, :-1] != IGNORED
    share = float((batch["codes"][:, 1:] == OWN)[real].float().mean())
    assert abs(share - DRAWN) < 0.05, share
    assert (batch["next"][batch["next"] != IGNORED] == TRUE).all()


def test_a_drawn_code_stands_where_it_was_drawn() -> None:
    batches = Batches(encoded(), budget=sum(STEPS) * 2, rank=0, size=1, seed=0)
    drawn = torch.arange(STEPS[1]) % NEXT.n_codes
    logits = torch.full((1, STEPS[1], NEXT.n_codes), -20.0)
    logits[0, torch.arange(STEPS[1]), drawn] = 20.0
    batches.remember(torch.tensor([1]), logits)
    assert torch.equal(batches.drawn[1, : STEPS[1]].long(), drawn)
    assert torch.equal(batches.drawn[0], batches.rows.codes[0]), "other rows keep theirs"
