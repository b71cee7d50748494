"""Speech at other speeds: the published samples of a whole segment, and streams of the same."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from deployments.contract.speech import VocodedChunk, VocoderChunk
from deployments.engine.noise import normal
from deployments.engine.vocode.schedule import ChunkSchedule
from deployments.engine.vocode.worker import VocodeWorker
from deployments.families.gpt_sovits.family import PACES, load
from deployments.families.gpt_sovits.vocoder import VitsVocoder
from tests.families.gpt_sovits.files import AUDIO, CPU, near, tensors
from tests.families.gpt_sovits.test_vocoder import (  # noqa: F401 (fixtures)
    CPU_DEVICE,
    inference,
    net,
    through,
    vocoded,
    vocoder,
    whole,
)

SPEEDS = (PACES[0], 0.6, 1.1, 1.65, 2.0, PACES[1])


@pytest.fixture(scope="module")
def spec(gpt_sovits):
    files = {"model_dir": str(gpt_sovits / "bundle"), "gpt": "s1.ckpt", "sovits": "s2_v2Pro.pth"}
    return load(files).spec


def streamed(vocoder, spec, segment: VocoderChunk) -> VocodedChunk:  # noqa: F811
    """In the chunks in which the service asks for them."""
    chunker = ChunkSchedule(10, 2.0, 80).chunker(spec, segment.speed)
    pieces = [*chunker.push(segment.frames), *chunker.finish()]
    assert len(pieces) > 2
    made, state = [], None
    for piece in pieces:
        chunk = replace(
            segment,
            frames=piece.frames,
            left=piece.left,
            right=piece.right,
            first=piece.first,
            state=state,
        )
        made += vocoded(vocoder, [chunk])
        state = made[-1].state
    return VocodedChunk.joined(made)


def at_once(net, segment: VocoderChunk) -> np.ndarray:  # noqa: F811
    """All frames of a segment, `speed` latents apart, by NumPy's interpolation."""
    codes, phones = (
        torch.from_numpy(array.astype(np.int64))[None]
        for array in (segment.frames, segment.conditions["phones"])
    )
    speaker = torch.from_numpy(segment.prompt.tensors["ge"])[None]
    latents = net.latents(codes, phones, speaker)[0][0].numpy()  # (C, T)
    count = latents.shape[1] if segment.speed == 1 else int(latents.shape[1] / segment.speed) + 1
    places = (np.arange(count) + 0.5) * segment.speed - 0.5
    paced = np.stack([np.interp(places, np.arange(latents.shape[1]), row) for row in latents])
    counter = torch.arange(count) * net.channels + torch.arange(net.channels)[:, None]
    noise = 0.5 * normal(torch.tensor([[[segment.seed]]]), counter[None])
    return net.sound(torch.from_numpy(paced)[None].float(), speaker, noise)[0].numpy()


def test_a_whole_segment_is_the_published_one(net, gpt_sovits, whole):  # noqa: F811
    facts = tensors(gpt_sovits / "sovits_golden.safetensors")
    phones = facts["s2.phones"].numpy()
    exact = VitsVocoder(net, CPU_DEVICE, noise_scale=0)
    chunk = replace(whole, frames=facts["s2.codes"].numpy(), conditions={"phones": phones}, speed=1.25)
    (fast,) = vocoded(exact, [chunk])
    wanted = facts["v2Pro.audio_noise0_speed1.25"]
    assert len(fast.waveform) == facts["v2Pro.audio_noise0_speed1.25.full_len"].item()
    near(fast.waveform[: len(wanted)], wanted, **AUDIO)
    (slow,) = vocoded(exact, [replace(chunk, speed=0.8)])
    assert len(slow.waveform) == facts["v2Pro.audio_noise0_speed0.8_len"].item()


@pytest.mark.parametrize("speed", SPEEDS)
def test_a_stream_is_the_whole_segment_but_for_what_the_encoder_cannot_know(
    vocoder,  # noqa: F811
    net,  # noqa: F811
    spec,
    whole,  # noqa: F811
    speed,
):
    segment = replace(whole, speed=speed)
    stream, wanted = streamed(vocoder, spec, segment).waveform, at_once(net, segment)
    assert stream.shape == wanted.shape
    assert len(stream) == pytest.approx(len(whole.frames) * 1280 / speed, abs=640)
    error, level = np.sqrt(np.mean((stream - wanted) ** 2)), np.sqrt(np.mean(wanted**2))
    assert 0 < error < 0.02 * level


@pytest.mark.parametrize("speed", [0.6, 2.0])
def test_the_attention_covers_the_sound(vocoder, spec, whole, speed):  # noqa: F811
    made = streamed(vocoder, spec, replace(whole, speed=speed, timed=True))
    assert made.attention is not None
    assert made.attention.shape == (2 * len(whole.frames), len(whole.conditions["phones"]))
    assert streamed(vocoder, spec, replace(whole, speed=speed)).attention is None


def test_rows_of_several_speeds_equal_each_alone(vocoder, whole):  # noqa: F811
    chunks = [replace(whole, speed=speed) for speed in (0.8, 1.0, 1.5)]
    for chunk, found in zip(chunks, vocoded(vocoder, chunks), strict=True):
        (one,) = vocoded(vocoder, [chunk])
        np.testing.assert_array_equal(found.waveform, one.waveform)


@pytest.mark.parametrize("on_cpu", [True, False])
@pytest.mark.parametrize("speed", [0.5, 1.5])
def test_the_worker_cuts_long_segments_of_any_speed(net, spec, whole, on_cpu, speed):  # noqa: F811
    """On an accelerator beside a segment at a speed of 1, which it does not change."""
    segments = [replace(whole, speed=speed), replace(whole, seed=8)]

    def worker() -> VocodeWorker:
        model = VitsVocoder(net, CPU_DEVICE)
        model.on_cpu = on_cpu
        return VocodeWorker(model, CPU, spec, max_batch=2, chunk_frames=60)

    sounds, counts = through(worker, segments)
    assert counts["chunks"] == (5 if speed < 1 else 3) + 3
    for segment, sound in zip(segments, sounds, strict=True):
        wanted = at_once(net, segment)
        assert sound.shape == wanted.shape
        assert np.sqrt(np.mean((sound - wanted) ** 2)) < 0.02 * np.sqrt(np.mean(wanted**2))
