from __future__ import annotations

import math

import pytest
import torch

from deployments.contract.speech import Sampling
from deployments.engine.decode.sampling import NARROW, SamplingState

CPU = torch.device("cpu")


def draws(logits, count, **sampling):
    """`count` draws from the same logits (V,), each with its own seed."""
    state = SamplingState(count, len(logits), CPU, penalty=False)
    for slot in range(count):
        state.set(slot, Sampling.of(**({"top_k": 0, "temperature": 1.0, "seed": slot} | sampling)))
    return state.draw(logits.expand(count, -1), torch.arange(count))


def sequence(logits, count, seed):
    """`count` draws of one sequence from the same logits (V,)."""
    state = SamplingState(1, len(logits), CPU)
    state.set(0, Sampling.of(seed=seed, temperature=1.0, top_k=0))
    return [state.draw(logits[None], torch.tensor([0])).item() for _ in range(count)]


def chi_square(observed, expected):
    return ((observed - expected) ** 2 / expected).sum().item()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 1.7])
@pytest.mark.parametrize("top_k", [0, 12])
def test_draws_follow_the_softmax(temperature, top_k):
    logits = torch.linspace(-1, 1, 12)[torch.randperm(12, generator=torch.Generator().manual_seed(2))]
    seeds = 4000
    state = SamplingState(seeds, 12, CPU, penalty=False)
    for slot in range(seeds):
        state.set(slot, Sampling.of(seed=slot, temperature=temperature, top_k=top_k))
    rows = torch.arange(seeds)
    found = torch.cat([state.draw(logits.expand(seeds, -1), rows) for _ in range(3)])  # over seeds and steps
    expected = (logits / temperature).softmax(-1) * len(found)
    # 11 degrees of freedom: 31.3 is the 0.1 % point
    assert chi_square(torch.bincount(found, minlength=12), expected) < 31.3


def test_a_wide_vocabulary_takes_the_sorted_path_with_the_same_distribution():
    logits = torch.zeros(NARROW * 4)
    logits[::NARROW] = 5.0
    found = torch.bincount(draws(logits, 3000), minlength=len(logits)).float()
    expected = logits.softmax(-1) * 3000
    likely = expected[::NARROW]
    assert chi_square(found[::NARROW], likely) < 16.3
    assert abs(found[::NARROW].sum() - likely.sum()) < 150


def test_top_k_and_top_p_restrict_the_codes():
    logits = torch.tensor([0.0, 3.0, 1.0, 2.0, -1.0])
    assert set(draws(logits, 400, top_k=2).tolist()) == {1, 3}
    assert set(draws(logits, 400, top_k=1).tolist()) == {1}
    shares = logits.softmax(-1)  # 0.64, 0.24, 0.09 ...
    assert shares[1] < 0.7 < shares[1] + shares[3]
    assert set(draws(logits, 400, top_p=0.7).tolist()) == {1, 3}
    assert set(draws(logits, 400, top_p=1e-6).tolist()) == {1}
    # top_p applies after top_k: of two codes, the first has 0.73
    assert set(draws(logits, 400, top_k=2, top_p=0.7).tolist()) == {1}


def test_temperature_zero_is_the_likeliest_code():
    logits = torch.randn(500, generator=torch.Generator().manual_seed(1))
    assert set(draws(logits, 20, temperature=0.0).tolist()) == {logits.argmax().item()}


@pytest.mark.parametrize("top_k", [0, 25])
def test_a_draw_is_bit_identical_in_any_batch(top_k):
    slots, vocabulary, make = 8, 300, torch.Generator().manual_seed(9)
    logits = torch.randn(40, slots, vocabulary, generator=make)
    settings = [
        Sampling.of(seed=3, temperature=0.8, top_k=top_k, top_p=0.9, repetition_penalty=1.2),
        *(
            Sampling.of(seed=i, temperature=i / 4, top_k=(0, 5, 200)[i % 3], top_p=1 - i / 20)
            for i in range(7)
        ),
    ]

    def run(slot_of, members):
        state = SamplingState(slots, vocabulary, CPU)
        for member in members:
            state.set(slot_of[member], settings[member])
        rows = torch.tensor([slot_of[member] for member in members])
        return [state.draw(step[list(members)], rows)[members.index(0)].item() for step in logits]

    alone = run({0: 0}, [0])
    assert len(set(alone)) > 10
    assert run({i: (i + 3) % 8 for i in range(8)}, list(range(8))) == alone
    assert run({i: 7 - i for i in range(8)}, [5, 0, 2]) == alone


def test_seeds_and_steps_change_the_draws():
    logits = torch.zeros(50)
    assert sequence(logits, 30, seed=1) == sequence(logits, 30, seed=1)
    assert sequence(logits, 30, seed=1) != sequence(logits, 30, seed=2)
    for seed in (1, -1, 2**63, 2**64 - 1):
        assert len(set(sequence(logits, 30, seed))) > 10


def test_repetition_penalty_divides_positive_and_multiplies_negative_logits():
    state = SamplingState(1, 3, CPU)
    rows = torch.tensor([0])
    state.set(0, Sampling.of(temperature=0.0, repetition_penalty=2.0))
    assert state.draw(torch.tensor([[4.0, 2.5, -9.0]]), rows).item() == 0
    assert state.draw(torch.tensor([[4.0, 2.5, -9.0]]), rows).item() == 1  # 4 / 2 < 2.5
    assert state.draw(torch.tensor([[4.0, 2.5, -9.0]]), rows).item() == 0  # 4 / 2 > 2.5 / 2
    state.set(0, Sampling.of(temperature=0.0, repetition_penalty=2.0))
    assert state.draw(torch.tensor([[-1.0, -1.5, -9.0]]), rows).item() == 0
    assert state.draw(torch.tensor([[-1.0, -1.5, -9.0]]), rows).item() == 1  # -1 * 2 < -1.5


def test_the_penalised_distribution_is_the_softmax_of_penalised_logits():
    logits = torch.tensor([1.2, -0.7, 0.3, -1.1])
    state = SamplingState(3000, 4, CPU)
    for slot in range(3000):
        state.set(slot, Sampling.of(seed=slot, temperature=1.0, top_k=0, repetition_penalty=1.5))
    state.seen[:, :2] = True
    counts = torch.bincount(state.draw(logits.expand(3000, -1), torch.arange(3000)), minlength=4)
    expected = torch.tensor([1.2 / 1.5, -0.7 * 1.5, 0.3, -1.1]).softmax(-1) * 3000
    assert chi_square(counts, expected) < 16.3  # 3 degrees of freedom: 0.1 %


def test_forcing_a_code_removes_the_drawn_one_from_the_seen_codes():
    state = SamplingState(2, 6, CPU)
    state.set(1, Sampling.of(temperature=0.0, repetition_penalty=1.0001))
    likes_four = torch.tensor([[0.0, 0, 0, 0, 9, 0]])
    rows = torch.tensor([1])
    state.draw(likes_four, rows)
    state.force(1, 2)
    assert state.seen[1].nonzero().flatten().tolist() == [2]
    state.draw(likes_four, rows)
    state.draw(likes_four, rows)  # 4 was seen before this draw, so forcing keeps it
    state.force(1, 5)
    assert state.seen[1].nonzero().flatten().tolist() == [2, 4, 5]
    assert state.seen[0].sum() == 0


def test_only_a_row_without_a_distribution_is_marked():
    state = SamplingState(5, 4, CPU)
    for slot in range(5):
        state.set(slot, Sampling.of(seed=slot, top_k=0))
    logits = torch.zeros(5, 4)
    logits[1, 2] = math.nan
    logits[2] = -math.inf
    logits[3, 0] = math.inf
    logits[4, 1:] = -math.inf  # all but one code forbidden
    codes = state.draw(logits, torch.arange(5)).tolist()
    assert codes[1:4] == [-1, -1, -1]
    assert codes[0] >= 0
    assert codes[4] == 0
