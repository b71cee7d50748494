from __future__ import annotations

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.published_indextts import shrink_silence
from deployments.families.indextts.config import SILENT_CODE, read_config
from deployments.families.indextts.silence import ALLOWED, RUN, Silence

runs = st.lists(st.tuples(st.booleans(), st.integers(1, 40)), max_size=8)


def codes_of(parts: list[tuple[bool, int]]) -> np.ndarray:
    return np.array([SILENT_CODE if silent else 7 for silent, count in parts for _ in range(count)], np.int64)


def streamed(codes: np.ndarray, shrink: bool = True) -> np.ndarray:
    silence, rows = Silence(1, torch.device("cpu"), shrink), torch.tensor([0])
    silence.reset(0)
    kept = []
    for code in codes:
        drawn = torch.tensor([int(code)])
        foretold = silence.keeps(rows, drawn)
        assert foretold == silence.feed(rows, drawn)
        if foretold:
            kept.append(code)
    return np.array(kept, np.int64)


def test_the_published_rule(golden, cases):
    stop = read_config(golden / "checkpoint").gpt.stop_mel_token
    for probe in cases["silence_probes"]:
        rows = probe["codes"] if isinstance(probe["codes"][0], list) else [probe["codes"]]
        found = [shrink_silence(_until(stop, np.array(row))) for row in rows]
        assert [len(row) for row in found] == probe["lens"]
        assert [row.tolist() for row in found] == [
            row[:n] for row, n in zip(probe["out"], probe["lens"], strict=True)
        ]


@given(runs)
def test_streamed_equals_published_up_to_thirty_silent_codes(parts):
    codes = codes_of(parts)
    silent = int((codes == SILENT_CODE).sum())
    if silent <= ALLOWED:
        np.testing.assert_array_equal(streamed(codes), codes)
        np.testing.assert_array_equal(shrink_silence(codes), codes)


@given(runs)
def test_streamed_keeps_all_sound_and_at_most_twenty_more_silent_codes(parts):
    codes = codes_of(parts)
    kept, published = streamed(codes), shrink_silence(codes)
    assert (kept != SILENT_CODE).sum() == (codes != SILENT_CODE).sum()
    assert 0 <= len(kept) - len(published) <= ALLOWED - RUN


def test_shrinking_silence_can_be_disabled():
    codes = codes_of([(True, 90), (False, 3)])
    np.testing.assert_array_equal(streamed(codes, shrink=False), codes)


def _until(stop: int, codes: np.ndarray) -> np.ndarray:
    stops = np.flatnonzero(codes == stop)
    return codes[: stops[0]] if len(stops) else codes
