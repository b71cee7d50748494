"""The times of words by the decoder's attention to the phones, with the golden checkpoints."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest
import torch

from deployments.contract.speech import VocodedChunk, VocoderChunk
from deployments.families.gpt_sovits.vits.encoder import embedded
from serve_app.synthesis.speech import SegmentDone, Sound, Speech
from serve_app.synthesis.stream import Synthesizer
from serve_app.synthesis.times import begins
from tests.families.gpt_sovits.test_end_to_end import cloned, speaking  # noqa: F401 (a fixture)
from tests.families.gpt_sovits.test_vocoder import cut, net, streamed_chunks, vocoder, whole  # noqa: F401 (fixtures)

TEXT = "今天天气真不错，我们去公园。Dr. Smith paid 10 dollars, and left!"


def test_a_chunk_says_how_its_frames_attend_to_the_phones(vocoder, net, whole):  # noqa: F811
    with torch.inference_mode():
        (made,) = streamed_chunks(vocoder, [replace(whole, timed=True)])
        codes = torch.from_numpy(whole.frames)[None]
        phones = torch.from_numpy(whole.conditions["phones"].astype(np.int64))[None]
        encoder, mrte = net.enc_p, net.enc_p.mrte
        attention = mrte.cross_attention
        q = attention.conv_q(mrte.c_pre(encoder.content(embedded(net.codebook, codes))))
        k = attention.conv_k(mrte.text_pre(encoder.text(phones)))
        q, k = (signal.unflatten(1, (attention.heads, -1)) for signal in (q, k))
        scores = torch.einsum("bhdt,bhds->bhts", q, k) / q.shape[2] ** 0.5
        expected = scores.softmax(-1).mean(1)[0]
    assert made.attention is not None and made.attention.shape == (2 * len(whole.frames), phones.shape[1])
    np.testing.assert_allclose(made.attention, expected, atol=1e-3)


def test_the_chunks_of_a_stream_have_the_attention_of_their_own_frames(vocoder, whole):  # noqa: F811
    """As of the whole segment, but for what the encoder cannot know yet."""
    with torch.inference_mode():
        whole = replace(whole, timed=True)
        (one,) = streamed_chunks(vocoder, [whole])
        parts = streamed_chunks(vocoder, cut(whole))
    joined = VocodedChunk.joined(parts)
    assert joined.attention is not None and one.attention is not None
    assert joined.attention.shape == one.attention.shape
    assert len(joined.waveform) == len(one.waveform)
    assert np.abs(joined.attention - one.attention).mean() < 0.1 * one.attention.mean()


V4 = {"sovits": "{}/s2_v4.pth", "hifigan": "{}/gsv-v4-pretrained/vocoder.pth"}


@pytest.mark.parametrize(("files", "speed"), [({}, 1.0), ({}, 2.0), (V4, 1.0)], ids=["v2Pro", "fast", "v4"])
def test_times_rise_and_cover_the_text(speaking, gpt_sovits, gpt_sovits_v3v4, files, speed, monkeypatch):  # noqa: F811
    backend = speaking(
        text="mixed", **{name: path.format(gpt_sovits_v3v4 / "bundle") for name, path in files.items()}
    )
    seen: list[VocodedChunk] = []
    vocode = backend.vocode

    async def watched(chunk: VocoderChunk, **options) -> VocodedChunk:
        seen.append(await vocode(chunk, **options))
        return seen[-1]

    monkeypatch.setattr(backend, "vocode", watched)

    async def run() -> list:
        prompt = await backend.encode_voice(cloned(gpt_sovits))
        wanted = {"text_split_method": 0, "temperature": 0}
        sampling = backend.spec.sampling(wanted, max_tokens=150, speed=speed)
        stream = Synthesizer(backend, window=1).stream(Speech(TEXT, prompt, sampling, timed=True))
        return [event async for event in stream]

    events = asyncio.run(run())
    (done,) = [event for event in events if isinstance(event, SegmentDone)]
    seconds = sum(len(e.waveform) for e in events if isinstance(e, Sound)) / backend.spec.sample_rate
    assert seconds == pytest.approx(done.codes / 25 / speed, abs=0.1)
    words = [TEXT[one.begin : one.end] for one in done.times]
    if not done.cut:
        assert words == [
            *"今天天气真不错",
            *"我们去公园",
            "Dr",
            "Smith",
            "paid",
            "10",
            "dollars",
            "and",
            "left",
        ]
    assert done.times[0].start == 0 and done.times[-1].stop == pytest.approx(seconds)
    for one, after in zip(done.times, done.times[1:], strict=False):
        assert one.start <= one.stop == after.start
    # the first phones are those of 今, of 天, ...
    attention = VocodedChunk.joined(seen).attention
    assert attention is not None
    starts = begins(attention.astype(np.float32), complete=not done.cut) * seconds / len(attention)
    assert [one.start for one in done.times[:3]] == pytest.approx(starts[[0, 2, 4]].tolist())
