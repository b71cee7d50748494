from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.profiler import ProfilerActivity, profile

from deployments.contract.device import Device
from deployments.contract.errors import SynthesisFailed
from deployments.contract.speech import VocodedChunk, VocoderChunk, VoicePrompt
from deployments.engine.noise import normal
from deployments.engine.vocode.chunks import Chunker
from deployments.families.small.family import SmallFamily
from deployments.families.small.vocoder import SmallVocoder

WAYS = ("lean", "padded")  # a CPU's and an accelerator's
CLOSE = 1e-3  # tolerance for samples in -1..1: float32 rounds F0, and harmonics up to 12 kHz follow it


@pytest.fixture(autouse=True)
def inference() -> Iterator[None]:
    with torch.inference_mode():
        yield


@pytest.fixture(scope="module")
def ways(family: SmallFamily, cpu: Device) -> dict[str, SmallVocoder]:
    return {way: SmallVocoder(family.vocoder(cpu).net, cpu.torch_device, way == "lean") for way in WAYS}


@pytest.fixture(params=WAYS)
def vocoder(request: pytest.FixtureRequest, ways: dict[str, SmallVocoder]) -> SmallVocoder:
    return ways[request.param]


@pytest.fixture(scope="module")
def prompt(prompts: dict[str, VoicePrompt]) -> VoicePrompt:
    return next(iter(prompts.values()))


def vocode(
    vocoder: SmallVocoder,
    chunks: list[VocoderChunk],
    codes: int = 0,
    follows: list[int | None] | None = None,
    spare: int = 0,
) -> list[VocodedChunk]:
    width = max(codes, *(len(chunk.frames) for chunk in chunks))
    if follows is not None:
        chunks = [replace(chunk, follows=row) for chunk, row in zip(chunks, follows, strict=True)]
    inputs = vocoder.collate(chunks, len(chunks) + spare, width)
    return vocoder.split(fast(vocoder)(inputs), chunks)


def fast(vocoder: SmallVocoder) -> Callable[[dict[str, Tensor]], dict[str, Tensor]]:
    return vocoder.packing.forward or vocoder.forward


def plain(vocoder: SmallVocoder, chunk: VocoderChunk) -> VocodedChunk:
    """The whole utterance by the network as it was trained."""
    return vocoder.split(vocoder.forward(vocoder.collate([chunk], 1, len(chunk.frames))), [chunk])[0]


def random_codes(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2500, count)


def cut_at(family: SmallFamily, whole: VocoderChunk, *cuts: int) -> list[VocoderChunk]:
    """Chunks between the code indices `cuts`, with the spec's context."""
    edges, count, chunks = [0, *cuts, len(whole.frames)], len(whole.frames), []
    for start, stop in pairwise(edges):
        left, right = min(family.spec.left_context, start), min(family.spec.right_context, count - stop)
        frames = whole.frames[start - left : stop + right]
        chunks.append(replace(whole, frames=frames, left=left, right=right, first=start - left))
    return chunks


def bits() -> float:
    """The tolerance for a chunk in another batch: zero if products round rows equally."""
    for outer, inner in ((256, 768), (768, 256), (256, 512)):
        rows, matrix = torch.randn(600, outer), torch.randn(outer, inner)
        whole = rows @ matrix
        if not all(torch.equal(rows[:count] @ matrix, whole[:count]) for count in (12, 13, 23, 64, 250)):
            return CLOSE
    return 0.0


@pytest.mark.parametrize("first", [1, 3, 10, 37])
def test_chunks_add_up_to_the_whole(
    family: SmallFamily, vocoder: SmallVocoder, prompt: VoicePrompt, first: int
) -> None:
    codes = random_codes(120, seed=first)
    whole = plain(vocoder, VocoderChunk(codes, 0, 0, 0, prompt, seed=5))
    chunker = Chunker(family.spec, first=first, growth=1.5, maximum=50)
    pieces, state = [], None
    for piece in [*chunker.push(codes), *chunker.finish()]:
        chunk = VocoderChunk(piece.frames, piece.left, piece.right, piece.first, prompt, 5, state)
        done = vocode(vocoder, [chunk], codes=len(piece.frames) + 3, spare=1)[0]
        pieces.append(done.waveform)
        state = done.state
    assert len(whole.waveform) == 120 * family.spec.samples_per_code
    np.testing.assert_allclose(np.concatenate(pieces), whole.waveform, atol=CLOSE)
    assert state is not None
    assert abs(float(state["phase"] - whole.state["phase"])) < 1e-4


@pytest.mark.parametrize("first", [1, 2, 10, 25])
def test_reusing_kept_steps_gives_the_bits_of_recomputing_them(
    family: SmallFamily, ways: dict[str, SmallVocoder], prompt: VoicePrompt, first: int
) -> None:
    vocoder, codes = ways["lean"], random_codes(75, seed=first)
    chunker = Chunker(family.spec, first=first, growth=1.2, maximum=30)
    state: dict[str, Any] | None = None
    for piece in [*chunker.push(codes), *chunker.finish()]:
        chunk = VocoderChunk(piece.frames, piece.left, piece.right, piece.first, prompt, 5, state)
        bare = replace(chunk, state=state and {"phase": state["phase"]})
        other = VocoderChunk(random_codes(30), 0, 0, 0, prompt, 6)
        alone, again, beside = (
            vocode(vocoder, [chunk])[0],
            vocode(vocoder, [bare])[0],
            vocode(vocoder, [other, chunk])[1],
        )
        for one in (again, beside):
            np.testing.assert_array_equal(alone.waveform, one.waveform)
            assert alone.state.keys() == one.state.keys()
            for name in alone.state:
                np.testing.assert_array_equal(alone.state[name], one.state[name])
        assert ("kept" in alone.state) == (piece.right > 0)
        state = dict(alone.state)


def test_kept_steps_are_reused_and_mismatched_ones_recomputed(
    family: SmallFamily, ways: dict[str, SmallVocoder], prompt: VoicePrompt
) -> None:
    vocoder, whole = ways["lean"], VocoderChunk(random_codes(80), 0, 0, 0, prompt, seed=5)
    head, tail = cut_at(family, whole, 30)
    state = dict(vocode(vocoder, [head])[0].state)
    expected = vocode(vocoder, [replace(tail, state={"phase": state["phase"]})])[0].waveform
    found = vocode(vocoder, [replace(tail, state=state | {"kept": state["kept"] + 1.0})])[0].waveform
    assert np.abs(found - expected).max() > 1e-2
    for wrong in (
        {"kept": state["kept"][:-1]},
        {"kept": state["kept"].astype(np.float64)},
        {"kept": state["kept"][:, :4]},
        {"ahead": np.array(0)},
        {"ahead": np.array(99)},
    ):
        found = vocode(vocoder, [replace(tail, state=state | wrong)])[0].waveform
        np.testing.assert_allclose(found, expected, rtol=0, atol=bits())


def test_the_plain_and_accelerator_paths_ignore_kept_steps(
    family: SmallFamily, ways: dict[str, SmallVocoder], prompt: VoicePrompt
) -> None:
    whole = VocoderChunk(random_codes(80), 0, 0, 0, prompt, seed=5)
    head, tail = cut_at(family, whole, 30)
    state = vocode(ways["lean"], [head])[0].state
    tail = replace(tail, state=state)
    expected = vocode(ways["lean"], [tail])[0].waveform
    for other in (plain(ways["lean"], tail), vocode(ways["padded"], [tail])[0]):
        np.testing.assert_allclose(other.waveform, expected, atol=CLOSE)
        assert other.state.keys() == {"phase"}


@pytest.mark.parametrize("count", [1, 2, 3, 17, 40])
def test_utterances_of_every_length_equal_the_network(
    vocoder: SmallVocoder, prompt: VoicePrompt, count: int
) -> None:
    chunk = VocoderChunk(
        random_codes(count, seed=count), 0, 0, 0, prompt, seed=3, state={"phase": np.float64(0.7)}
    )
    made, whole = vocode(vocoder, [chunk], codes=44)[0], plain(vocoder, chunk)
    assert len(made.waveform) == count * vocoder.config.samples_per_code
    np.testing.assert_allclose(made.waveform, whole.waveform, atol=CLOSE)


def test_chunks_cut_at_any_offset_of_a_period_give_the_whole(
    family: SmallFamily, vocoder: SmallVocoder, prompts: dict[str, VoicePrompt], speech: list[dict]
) -> None:
    """Codes are 20 ms, two to four periods, so each cut is at another point of the period."""
    for said in speech[:6:2]:  # low and high voices
        codes = np.array(said["units"])[:64]
        utterance = VocoderChunk(codes, 0, 0, 0, prompts[said["voice"]], seed=5)
        whole, phases = plain(vocoder, utterance).waveform, []
        for cut in range(16, 48):
            head, tail = vocode(vocoder, cut_at(family, utterance, cut), follows=[None, 0])
            np.testing.assert_allclose(np.concatenate([head.waveform, tail.waveform]), whole, atol=CLOSE)
            phases.append(float(head.state["phase"]))
        gaps = np.diff(np.sort([*phases, min(phases) + 1]))
        assert gaps.max() < 0.25, "the cuts do not sample the period"


def test_state_passes_within_a_batch_as_between_batches(
    family: SmallFamily, vocoder: SmallVocoder, prompt: VoicePrompt
) -> None:
    one = VocoderChunk(random_codes(90, seed=1), 0, 0, 0, prompt, seed=5, state={"phase": np.float64(0.3)})
    other = replace(one, frames=random_codes(70, seed=2), seed=6, state=None)
    ones, others = cut_at(family, one, 20, 40, 61), cut_at(family, other, 30)
    mixed = [ones[0], others[0], ones[1], others[1], ones[2], ones[3]]
    mixed = [chunk if index < 2 else replace(chunk, state=None) for index, chunk in enumerate(mixed)]
    together = vocode(vocoder, mixed, follows=[None, None, 0, 1, 2, 4], spare=2)
    for chunks, places in ((ones, (0, 2, 4, 5)), (others, (1, 3))):
        state = chunks[0].state
        for chunk, place in zip(chunks, places, strict=True):
            alone = vocode(vocoder, [replace(chunk, state=state)])[0]
            state = alone.state
            np.testing.assert_allclose(together[place].waveform, alone.waveform, atol=CLOSE)
            assert abs(float(together[place].state["phase"] - state["phase"])) < 1e-4


@pytest.fixture(scope="module")
def minute(speech: list[dict[str, Any]]) -> np.ndarray:
    """The codes of 60 s of sentences."""
    said = np.concatenate([sentence["units"] for sentence in speech])
    return np.resize(said, 60 * 50)


def scheduled(count: int, first: int, growth: float = 1.0, maximum: int = 250) -> list[int]:
    """The ends of all chunks but the last, which grow from `first` codes to `maximum`."""
    ends, end, size = [], first, float(first)
    while end < count:
        ends.append(end)
        size = min(maximum, size * growth)
        end += int(size)
    return ends


@pytest.mark.parametrize("seconds", [5, 20, 60])
@pytest.mark.parametrize("schedule", [(25,), (250,), (3, 1.5, 100), (1, 1.2, 60)])
def test_speech_of_any_length_in_any_chunks_equals_the_whole(
    family: SmallFamily,
    vocoder: SmallVocoder,
    prompt: VoicePrompt,
    minute: np.ndarray,
    seconds: int,
    schedule: tuple[Any, ...],
) -> None:
    codes = minute[: seconds * 50]
    utterance = VocoderChunk(codes, 0, 0, 0, prompt, seed=5)
    pieces, state = [], None
    for chunk in cut_at(family, utterance, *scheduled(len(codes), *schedule)):
        done = vocode(vocoder, [replace(chunk, state=state)])[0]
        pieces.append(done.waveform)
        state = done.state
    whole = plain(vocoder, utterance).waveform
    np.testing.assert_allclose(np.concatenate(pieces), whole, atol=CLOSE)


def test_chunks_of_speech_in_one_batch_equal_the_whole(
    family: SmallFamily, vocoder: SmallVocoder, prompt: VoicePrompt, minute: np.ndarray
) -> None:
    utterance = VocoderChunk(minute[:500], 0, 0, 0, prompt, seed=5, state={"phase": np.float64(0.4)})
    chunks = cut_at(family, utterance, *scheduled(500, 2, 1.3, 60))
    done = vocode(vocoder, chunks, follows=[None, *range(len(chunks) - 1)])
    whole = plain(vocoder, utterance).waveform
    np.testing.assert_allclose(np.concatenate([one.waveform for one in done]), whole, atol=CLOSE)


def test_a_wrong_phase_is_corrected_after_a_pause(
    vocoder: SmallVocoder, prompts: dict[str, VoicePrompt], speech: list[dict[str, Any]]
) -> None:
    """So a difference accumulates only while speech stays voiced, here for 2.5 s at most."""
    last = []
    for said in speech:
        codes = np.array(said["units"])[20:]  # from the middle of a word
        chunk = VocoderChunk(codes, 0, 0, 0, prompts[said["voice"]], seed=5)
        one, other = (
            vocode(vocoder, [replace(chunk, state={"phase": np.float64(phase)})])[0] for phase in (0.0, 0.3)
        )
        last += np.flatnonzero(one.waveform != other.waveform)[-1:].tolist()
        assert float(one.state["phase"]) == float(other.state["phase"])
    assert len(last) > len(speech) / 2
    assert max(last) < 2.5 * vocoder.config.sample_rate


def test_a_chunk_is_the_same_after_padding_and_in_a_batch(
    vocoder: SmallVocoder, prompts: dict[str, VoicePrompt]
) -> None:
    voices = list(prompts.values())
    chunks = [VocoderChunk(random_codes(n, seed=n), 0, 0, 0, voices[n % 3], seed=n) for n in (30, 44, 25)]
    exact = bits() if vocoder.cpu is not None else CLOSE
    for chunk, beside in zip(chunks, vocode(vocoder, chunks, codes=50), strict=True):
        alone = vocode(vocoder, [chunk])[0]
        np.testing.assert_allclose(beside.waveform, alone.waveform, rtol=0, atol=exact)


def test_the_noise_follows_the_seed(vocoder: SmallVocoder, prompt: VoicePrompt) -> None:
    codes = random_codes(30)
    one, same, other = (
        vocode(vocoder, [VocoderChunk(codes, 0, 0, 0, prompt, seed)])[0].waveform for seed in (1, 1, 2)
    )
    np.testing.assert_array_equal(one, same)
    assert (one != other).any()


@pytest.mark.parametrize("beyond", [-1, 0])
def test_an_invalid_unit_never_reaches_the_device(
    vocoder: SmallVocoder, prompt: VoicePrompt, beyond: int
) -> None:
    count = vocoder.config.n_units
    codes = random_codes(30)
    codes[7] = beyond if beyond < 0 else count
    with pytest.raises(SynthesisFailed, match=rf"0\.\.{count - 1}"):
        vocoder.collate([VocoderChunk(codes, 0, 0, 0, prompt, 1)], 1, 30)


def test_many_voices_do_not_grow_a_cache(ways: dict[str, SmallVocoder]) -> None:
    lean = ways["lean"].cpu
    assert lean is not None
    kept = []
    for index in range(150):
        voice = VoicePrompt.of("small", {"speaker": np.full(lean.config.speaker_dim, index, np.float32)})
        vocode(ways["lean"], [VocoderChunk(random_codes(2), 0, 0, 0, voice, 1)])
        kept.append(len(lean.voices))
    assert kept[-1] == max(kept) < 100


@pytest.mark.parametrize(("batch", "codes"), [(1, 20), (1, 250), (8, 32), (4, 128)])
def test_the_estimated_bytes_of_a_batch_are_within_a_factor_of_two(
    vocoder: SmallVocoder, prompt: VoicePrompt, tmp_path: Path, batch: int, codes: int
) -> None:
    chunks = [VocoderChunk(random_codes(codes), 0, 0, 0, prompt, 1)] * batch
    peak = peak_of(lambda: fast(vocoder)(vocoder.collate(chunks, batch, codes)), tmp_path / "trace.json")
    assert 0.5 < vocoder.activation_bytes(batch, codes) / peak < 2


def peak_of(function: Callable[[], object], file: Path) -> int:
    """The most bytes that torch's allocator handed out during `function`."""
    function()  # fills permanent caches
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        function()
    recorded.export_chrome_trace(str(file))
    events = [event for event in json.loads(file.read_text())["traceEvents"] if event["name"] == "[memory]"]
    totals = [event["args"]["Total Allocated"] for event in sorted(events, key=lambda event: event["ts"])]
    return max(totals) - min(totals[0], totals[-1])


def test_normal_numbers_depend_on_seed_and_counter_alone_and_are_normal() -> None:
    counter = torch.arange(200_000)
    drawn = normal(torch.tensor([5]), counter)
    torch.testing.assert_close(
        normal(torch.tensor([[4], [5]]), counter[1000:])[1], drawn[1000:], rtol=0, atol=0
    )
    assert abs(float(drawn.mean())) < 0.01
    assert abs(float(drawn.std()) - 1) < 0.01
    assert abs(float((drawn.abs() < 1).float().mean()) - 0.6827) < 0.005
