"""How a segment is divided, and the vocoders' windows."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from deployments.families.gpt_sovits.bigvgan import read_bigvgan
from deployments.families.gpt_sovits.cfm.chunks import chunks, joined, windows
from deployments.families.gpt_sovits.cfm.layout import OVERLAP
from deployments.families.gpt_sovits.cfm.mel import restored
from deployments.families.gpt_sovits.cfm.sound import (
    BigVganVocoder,
    HifiGanVocoder,
    MelVocoder,
    sounds,
)
from deployments.families.gpt_sovits.hifigan import read_hifigan
from tests.families.gpt_sovits.cfm.parts import BIGVGAN, VERSIONS, GoldenSet

CPU = torch.device("cpu")


@given(frames=st.integers(1, 5000), most=st.integers(3 * OVERLAP, 1000))
def test_chunks_cover_a_segment_and_share_their_ends(frames: int, most: int) -> None:
    found = chunks(frames, most)
    assert found[0][0] == 0 and found[-1][1] == frames
    assert all(before[1] - after[0] == OVERLAP for before, after in pairwise(found))
    sizes = [stop - start for start, stop in found]
    assert max(sizes) <= most and max(sizes) - min(sizes) <= 1
    assert len(found) == max(1, -(-(frames - OVERLAP) // (most - OVERLAP)))


@given(frames=st.integers(1, 5000), context=st.integers(1, 40))
def test_windows_give_every_frame_its_context(frames: int, context: int) -> None:
    found = windows(frames, 200, context)
    assert found[0].first == 0 and found[-1].last == frames
    assert all(before.last == after.first < after.last for before, after in pairwise(found))
    for window in found:
        assert window.size == min(200, frames)
        assert window.start in (0, window.first) or window.first - window.start >= context
        assert window.stop == frames or window.stop - window.last >= context


def test_equal_chunks_join_to_what_they_were_cut_from() -> None:
    whole = torch.randn(700, 4)
    found = joined([whole[start:stop] for start, stop in chunks(700, 250)])
    torch.testing.assert_close(found, whole, rtol=0, atol=1e-6)


def test_chunks_that_differ_fade_into_each_other() -> None:
    found = joined([torch.zeros(100, 1), torch.ones(100, 1)])
    assert len(found) == 200 - OVERLAP
    steps = found[1:] - found[:-1]
    assert 0 < steps.max() <= 1 / OVERLAP + 1e-6 and steps.min() >= 0


@pytest.fixture(scope="module")
def vocoders(whole_set: GoldenSet) -> dict[str, MelVocoder]:
    bigvgan = read_bigvgan(whole_set.bundle / BIGVGAN)
    hifigan = read_hifigan(whole_set.bundle / "gsv-v4-pretrained/vocoder.pth")
    return {"v3": BigVganVocoder(bigvgan, CPU), "v4": HifiGanVocoder(hifigan, CPU)}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("batches", [(), (1, 2)])
def test_windows_sound_as_the_whole(
    whole_set: GoldenSet, vocoders: dict[str, MelVocoder], version: str, batches: tuple[int, ...]
) -> None:
    """Of signals that are shorter and longer than a window, vocoded together: as each alone, uncut and unpadded."""
    vocoder = vocoders[version]
    window = 100
    lengths = (37, window, 2 * window + 71)
    mels = [restored(whole_set.noise(row, 0, length)) for row, length in enumerate(lengths)]
    for found, mel in zip(sounds(vocoder, mels, window, batches), mels, strict=True):
        torch.testing.assert_close(found, vocoder(mel[None])[0], rtol=0, atol=1e-5)
