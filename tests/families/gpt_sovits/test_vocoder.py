"""The VITS decoder in the engine: whole segments, streams, padded batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from deployments.contract.device import Device
from deployments.contract.speech import VocodedChunk, VocoderChunk, VoicePrompt
from deployments.contract.work import WorkItem
from deployments.engine.device.thread import DeviceThread
from deployments.engine.vocode.worker import VocodeWorker
from deployments.families.gpt_sovits.checkpoints import read_sovits
from deployments.families.gpt_sovits.family import load
from deployments.families.gpt_sovits.vits.synthesizer import Synthesizer
from deployments.families.gpt_sovits.vocoder import CONTEXT, HISTORY, REACH, VitsVocoder
from deployments.families.gpt_sovits.voice import GptSovitsVoiceEncoder
from tests.families.gpt_sovits.files import (
    AUDIO,
    CPU,
    VITS,
    decoded,
    golden_prompt,
    near,
    reference,
    sovits_path,
    tensors,
)

RATE = 1280  # samples of a code
SIZES = (10, 20, 40, 80, 80)  # codes of a stream's chunks
CPU_DEVICE = torch.device("cpu")


@pytest.fixture(scope="module")
def net(gpt_sovits) -> Synthesizer:
    sovits = read_sovits(gpt_sovits / "bundle" / "s2_v2Pro.pth")
    return Synthesizer.load(sovits, sovits.tensors())


@pytest.fixture(scope="module")
def vocoder(net) -> VitsVocoder:
    return VitsVocoder(net, CPU_DEVICE)


@pytest.fixture(scope="module")
def whole(gpt_sovits) -> VocoderChunk:
    """A segment of the golden set's three items, 146 codes."""
    facts = tensors(gpt_sovits / "t2s_golden.safetensors")
    items = [facts[f"t2s.{item}.greedy_codes"].numpy() for item in ("zh1", "mix1", "en1")]
    phones = facts["t2s.zh1.phones"].numpy()
    return VocoderChunk(
        np.concatenate(items), 0, 0, 0, golden_prompt(gpt_sovits), seed=7, conditions={"phones": phones}
    )


@pytest.fixture(autouse=True)
def inference():
    with torch.inference_mode():
        yield


def vocoded(vocoder: VitsVocoder, chunks: Sequence[VocoderChunk], frames: int = 0) -> list[VocodedChunk]:
    frames = frames or max(len(chunk.frames) for chunk in chunks)
    return vocoder.split(vocoder.forward(vocoder.collate(chunks, len(chunks), frames)), chunks)


def cut(segment: VocoderChunk, sizes: Sequence[int] = SIZES) -> list[VocoderChunk]:
    """The chunks of a stream, without their states."""
    chunks, start, count = [], 0, len(segment.frames)
    for size in sizes:
        stop = min(count, start + size)
        if stop > start:
            left, right = min(CONTEXT, start), min(CONTEXT, count - stop)
            frames = segment.frames[start - left : stop + right]
            chunks.append(replace(segment, frames=frames, left=left, right=right, first=start - left))
        start = stop
    assert start == count
    return chunks


def streamed_chunks(
    vocoder: VitsVocoder, chunks: Sequence[VocoderChunk], spare: int = 0
) -> list[VocodedChunk]:
    """spare: codes that each row is padded by."""
    results, state = [], None
    for chunk in chunks:
        results += vocoded(vocoder, [replace(chunk, state=state)], len(chunk.frames) + spare)
        state = results[-1].state
    return results


def streamed(vocoder: VitsVocoder, segment: VocoderChunk, spare: int = 0) -> np.ndarray:
    return VocodedChunk.joined(streamed_chunks(vocoder, cut(segment), spare)).waveform


def test_a_whole_segment_is_the_published_one(net, gpt_sovits, whole):
    facts = tensors(gpt_sovits / "sovits_golden.safetensors")
    chunk = replace(
        whole, frames=facts["s2.codes"].numpy(), conditions={"phones": facts["s2.phones"].numpy()}
    )
    (result,) = vocoded(VitsVocoder(net, CPU_DEVICE, noise_scale=0), [chunk])
    near(result.waveform, facts["v2Pro.audio_noise0"], **AUDIO)
    assert result.state == {}


@pytest.fixture(scope="module", params=(*VITS, "v1"))
def whole_and_streamed(request, gpt_sovits, gpt_sovits_v1, whole) -> tuple[np.ndarray, np.ndarray]:
    """The segment by the decoder of each version."""
    version = request.param
    facts = decoded(gpt_sovits, gpt_sovits_v1, version)
    sovits = read_sovits(sovits_path(gpt_sovits, gpt_sovits_v1, version))
    prompt = VoicePrompt.of("gpt_sovits", {**whole.prompt.tensors, "ge": facts[f"{version}.ge"].numpy()})
    phones = facts["s2.phones_v1"].numpy() if version == "v1" else whole.conditions["phones"]
    segment = replace(whole, prompt=prompt, conditions={"phones": phones})
    with torch.inference_mode():
        vocoder = VitsVocoder(Synthesizer.load(sovits, sovits.tensors()), CPU_DEVICE)
        return vocoded(vocoder, [segment])[0].waveform, streamed(vocoder, segment)


def test_a_stream_is_the_whole_segment_but_for_what_the_encoder_cannot_know(whole_and_streamed):
    one, stream = whole_and_streamed
    assert stream.shape == one.shape
    error, level = np.sqrt(np.mean((stream - one) ** 2)), np.sqrt(np.mean(one**2))
    assert 0 < error < 0.03 * level


def test_joins_cannot_be_told_by_the_spectral_flux(whole_and_streamed):
    """How much the change between neighbouring spectra differs from the whole segment's: at joins as around them."""
    one, stream = whole_and_streamed
    joins = np.cumsum(SIZES)[:-1] * RATE
    joins = joins[joins < len(stream)]

    def flux(sound: np.ndarray) -> np.ndarray:
        frames = np.lib.stride_tricks.sliding_window_view(sound, 512)[::128] * np.hanning(512)
        return np.maximum(np.diff(np.log(np.abs(np.fft.rfft(frames)) + 1e-3), axis=0), 0).sum(1)

    apart = np.abs(flux(stream) - flux(one))
    at, around = np.zeros(len(apart), bool), np.zeros(len(apart), bool)
    for join in joins:
        frame = join // 128
        at[frame - 5 : frame + 2] = True
        around[frame - 60 : frame + 60] = True
    around &= ~at
    assert at.sum() == 7 * len(joins)
    assert apart[at].mean() < 1.5 * apart[around].mean()
    assert apart[at].max() <= apart[around].max()


def test_without_the_state_of_the_chunk_before_a_join_is_worse(vocoder, whole):
    (one,) = vocoded(vocoder, [whole])
    first, second = cut(whole)[:2]
    (before,) = vocoded(vocoder, [first])
    begin = len(before.waveform)
    errors = []
    for state in (before.state, None):
        (after,) = vocoded(vocoder, [replace(second, state=state)])
        errors.append(
            np.sqrt(np.mean((after.waveform - one.waveform[begin : begin + len(after.waveform)]) ** 2))
        )
    assert 1.3 * errors[0] < errors[1]


def test_the_state_is_small_and_bounded(vocoder, whole):
    long = replace(whole, frames=np.tile(whole.frames, 3))
    chunks = cut(long, (100, 100, 100, 200))
    state = None
    for chunk in chunks[:-1]:
        (result,) = vocoded(vocoder, [replace(chunk, state=state)])
        state = result.state
        assert len(state["codes"]) == min(HISTORY, chunk.first + len(chunk.frames) - chunk.right - CONTEXT)
        assert state["z"].shape == (vocoder.net.channels, 2 * REACH)
    assert not vocoded(vocoder, [replace(chunks[-1], state=state)])[0].state


def test_padded_batches_equal_each_row_alone(net, vocoder, whole):
    """The path of accelerators: rows of several lengths, voices and seeds, some with a state."""
    padded = VitsVocoder(net, CPU_DEVICE)
    padded.on_cpu = False
    first, second = cut(whole)[:2]
    other = VoicePrompt.of("gpt_sovits", {**whole.prompt.tensors, "ge": -whole.prompt.tensors["ge"]})
    (before,) = vocoded(vocoder, [first])
    chunks = [
        first,
        replace(second, state=before.state),
        replace(whole, prompt=other, seed=9),
        replace(whole, frames=whole.frames[:7], conditions={"phones": whole.conditions["phones"][:5]}),
    ]
    together = vocoded(padded, chunks, 160)
    for chunk, found in zip(chunks, together, strict=True):
        (alone,) = vocoded(vocoder, [chunk])
        np.testing.assert_allclose(found.waveform, alone.waveform, atol=1e-4)
        assert found.state.keys() == alone.state.keys()
        if alone.state:
            np.testing.assert_array_equal(found.state["codes"], alone.state["codes"])
            np.testing.assert_allclose(found.state["z"], alone.state["z"], atol=1e-4)
    np.testing.assert_allclose(streamed(padded, whole, 9), streamed(vocoder, whole), atol=1e-4)


def through(
    worker: Callable[[], VocodeWorker], segments: list[VocoderChunk]
) -> tuple[list[np.ndarray], dict[str, Any]]:
    """The sound of each segment from a worker on a device thread, and the worker's counts. None may fail."""

    def run() -> tuple[list[np.ndarray], dict[str, Any]]:
        working, found = worker(), {}
        for number, segment in enumerate(segments):
            working.admit(WorkItem(str(number), segment))
        while working.active:
            for event in working.step():
                assert event.error is None
                found[event.id] = event.value.waveform
        assert working.stats()["retries"] == 0
        return [found[name] for name in sorted(found)], working.stats()

    thread = DeviceThread("test", threads=1)
    try:
        return thread.submit(run).result()
    finally:
        thread.close()


@pytest.mark.parametrize("graphs", [False, True])
def test_segments_longer_than_a_chunk_through_the_worker(net, gpt_sovits, whole, graphs):
    """Two segments at once, each cut by the worker; with a recorder in place of CUDA graphs."""

    class Recorder:
        def warm_up(self, function):
            function()

        def capture(self, function):
            static = function()

            def replay():
                for name, value in function().items():
                    static[name].copy_(value)

            return replay, static

    files = {"model_dir": str(gpt_sovits / "bundle"), "gpt": "s1.ckpt", "sovits": "s2_v2Pro.pth"}
    spec = load(files).spec
    segments = [whole, replace(whole, seed=8, frames=whole.frames[:90])]

    def worker() -> VocodeWorker:
        model = VitsVocoder(net, CPU_DEVICE)
        model.on_cpu = not graphs
        options = {"backend": Recorder(), "frame_buckets": [16, 64]} if graphs else {}
        worker = VocodeWorker(model, CPU, spec, max_batch=2, chunk_frames=60, **options)
        worker.warm_up(whole.prompt)
        return worker

    sounds, _ = through(worker, segments)
    for segment, sound in zip(segments, sounds, strict=True):
        (one,) = vocoded(VitsVocoder(net, CPU_DEVICE), [segment])
        assert sound.shape == one.waveform.shape
        assert np.sqrt(np.mean((sound - one.waveform) ** 2)) < 0.02 * np.sqrt(np.mean(one.waveform**2))


def test_too_many_phones_are_refused(net, whole):
    padded = VitsVocoder(net, CPU_DEVICE)
    padded.on_cpu = False
    with pytest.raises(ValueError, match="does not fit into 146 codes and 512 phones"):
        padded.collate([replace(whole, conditions={"phones": np.zeros(513, np.int64)})], 1, 146)


def test_memory_grows_with_the_batch_on_accelerators_alone(net):
    model = VitsVocoder(net, CPU_DEVICE)
    assert model.activation_bytes(8, 100) == model.activation_bytes(1, 100) > 0
    model.on_cpu = False
    assert model.activation_bytes(8, 100) == 8 * model.activation_bytes(1, 100)


@pytest.mark.parametrize("version", ["v2Pro", "v4"])
def test_nothing_of_a_reference_uses_a_transform_of_the_device(
    gpt_sovits, gpt_sovits_v3v4, monkeypatch, version
):
    """Some accelerators have neither FFTs nor convolutions in half precision. Both are asked of the CPU alone."""
    asked: list[str] = []
    stft = torch.stft
    monkeypatch.setattr(torch, "stft", lambda x, *a, **k: asked.append(x.device.type) or stft(x, *a, **k))
    half = Device(CPU_DEVICE, "musa", "fake", torch.float16, half=True)
    there = gpt_sovits_v3v4 / "bundle"
    files = {"model_dir": str(gpt_sovits / "bundle"), "gpt": "s1.ckpt", "sovits": "s2_v2Pro.pth"}
    if version == "v4":
        files |= {"sovits": f"{there}/s2_v4.pth", "hifigan": f"{there}/gsv-v4-pretrained/vocoder.pth"}
    encoder = load(files).voice_encoder(half)
    assert isinstance(encoder, GptSovitsVoiceEncoder)
    prompt = encoder.encode(reference(gpt_sovits, "ref.wav"))
    assert set(asked) == {"cpu"} and prompt.tensors["ge"].dtype == np.float32
    parts = [encoder.hubert, encoder.timbre]
    if version == "v2Pro":
        decoder = load(files).vocoder(half)
        assert isinstance(decoder, VitsVocoder) and encoder.speaker is not None
        parts += [encoder.speaker, decoder.net]
    assert {parameter.dtype for part in parts for parameter in part.parameters()} == {torch.float32}
