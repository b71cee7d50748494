"""Jobs from their submission to the finished file, on the backend that speaks in tones."""

from __future__ import annotations

import io
import re

import numpy as np
import soundfile

from serve_app.jobs.jobs import Jobs
from serve_app.synthesis.segment import segment_seed
from tests.serve_app.conftest import PAUSE, RATE, codes_of, tones
from tests.serve_app.jobs.conftest import TEXT, finished, running, submission

FADE = 0.005


def expected(text: str, seed: int, pitch: float, paragraph: float = 0.6) -> list[np.ndarray]:
    """The sound of each sentence."""
    sentences = [s.strip() for s in re.findall(r"[^.!?]+[.!?]*", text) if s.strip()]
    return [tones(codes_of(s, segment_seed(seed, 0)), pitch)[0] for s in sentences]


async def sound_of(jobs: Jobs, job_id: str) -> tuple[np.ndarray, int]:
    row = await finished(jobs, job_id)
    assert row.state == "done", (row.error, jobs.stores.jobs.lines(job_id))
    data = jobs.stores.audio.get(f"outputs/{job_id}/{row.outputs[0]['name']}")
    return soundfile.read(io.BytesIO(data), dtype="float32")


async def test_a_text_becomes_a_file_with_every_sentence_once_and_in_order(jobs: Jobs) -> None:
    row = await jobs.submit(submission())
    async with running(jobs):
        sound, rate = await sound_of(jobs, row.id)
    assert rate == RATE
    parts = expected(TEXT, 5, 220.0)
    pauses = [PAUSE, 0.6, PAUSE, PAUSE, 0.6, 0.0]
    assert len(parts) == len(pauses)
    at, edge = 0, round(FADE * RATE)
    for part, pause in zip(parts, pauses, strict=True):
        found = sound[at : at + len(part)]
        np.testing.assert_allclose(found[edge:-edge], part[edge:-edge], atol=2**-14)
        at += len(part)
        silence = sound[at : at + round(pause * RATE)]
        assert len(silence) == round(pause * RATE) and not silence.any()
        at += len(silence)
    assert 0 <= len(sound) - at < 1024 and not sound[at:].any()  # whole frames of AAC
