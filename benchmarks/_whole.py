"""The baseline without streaming: all codes of a segment are decoded before one vocoder call."""

from __future__ import annotations

import time
from dataclasses import replace

import numpy as np

from deployments.contract.speech import GptRequest, Sampling, VocoderChunk
from serve_app.cli.speaker import Said, Speaker
from serve_app.synthesis.segment import segment_seed


async def whole(speaker: Speaker, text: str, voice: str, sampling: Sampling) -> Said:
    """Synthesises one segment after another on the speaker's loop. There is no sound before the last one."""
    backend, pieces = speaker.backend, []
    rate = backend.spec.sample_rate
    began = time.perf_counter()
    prompt = await speaker.prompt_of(voice)
    for index, segment in enumerate(await backend.segments(text, None)):
        seed = segment_seed(sampling.seed, index)
        request = GptRequest(segment, prompt, replace(sampling, seed=seed))
        runs = backend.generate(request, id=f"whole.{index}", priority=0, admitted=True)
        chunk = VocoderChunk(np.concatenate([run.spoken async for run in runs]), 0, 0, 0, prompt, seed)
        vocoded = await backend.vocode(chunk, id=f"whole.{index}.sound", priority=0)
        pieces += [vocoded.waveform, np.zeros(round(segment.pause_after * rate), np.float32)]
    total_s = time.perf_counter() - began
    return Said(np.concatenate(pieces[:-1]), rate, total_s, total_s, voice, sampling.seed)
