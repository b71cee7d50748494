"""Jobs from their submission to the finished file, on the backend that speaks in tones."""

from __future__ import annotations

import asyncio
import io
import os
import re
import threading
from typing import Any

import numpy as np
import psutil
import pytest
import soundfile

from deployments.contract.errors import InvalidInput
from serve_app.books.book import Block, Chapter
from serve_app.jobs.jobs import Jobs
from serve_app.jobs.models import JobRow
from serve_app.jobs.plan import warnings
from serve_app.jobs.runner import Runner, _is_dead
from serve_app.synthesis.segment import segment_seed
from tests.serve_app.conftest import PAUSE, RATE, ToneBackend, codes_of, tones
from tests.serve_app.jobs.conftest import TEXT, finished, running, submission, until

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


async def test_a_runner_whose_lease_expired_works_on_the_job_once(jobs: Jobs, backend: ToneBackend) -> None:
    backend.delay = 0.05
    row = await jobs.submit(submission(40 * "The tea is cold. "))
    async with running(jobs) as (runner,):
        begun = await until(jobs, row.id, lambda row: row.state == "generating")
        beat = jobs.stores.jobs.beat
        await asyncio.to_thread(beat, row.id, begun.owner or "", -1.0, 0.0, {})
        await runner._look()
        assert len(runner._works) == 1
        await jobs.delete(row.id)


def test_a_process_is_not_taken_for_another_when_the_clock_is_set(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = Runner(jobs.service, jobs.stores, jobs.service.settings.jobs).owner
    assert not _is_dead(owner)
    boot = psutil.boot_time()
    monkeypatch.setattr("psutil._pslinux.boot_time", lambda: boot + 2.0)
    assert not _is_dead(owner)
    process = f"/{os.getpid()}/"
    assert _is_dead(owner.replace(f"{process}{owner.split('/')[-2]}", f"{process}1"))


async def test_a_client_that_leaves_while_the_job_is_stored_does_not_take_its_files(
    jobs: Jobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    storing, go_on, add = threading.Event(), threading.Event(), jobs.stores.jobs.add

    def slow(*args: Any) -> JobRow:
        storing.set()
        go_on.wait()
        return add(*args)

    monkeypatch.setattr(jobs.stores.jobs, "add", slow)
    submitting = asyncio.create_task(jobs.submit(submission()))
    await asyncio.to_thread(storing.wait)
    submitting.cancel()
    await asyncio.gather(submitting, return_exceptions=True)
    go_on.set()
    while not (rows := await asyncio.to_thread(jobs.stores.jobs.list, 1)):
        await asyncio.sleep(0.01)
    assert jobs.stores.audio.exists(f"uploads/{rows[0].id}/source")


async def test_a_text_is_called_after_its_first_words(jobs: Jobs) -> None:
    assert (await jobs.submit(submission("The tea\nis cold."))).title == "The tea is cold."
    named = await jobs.submit(submission(options={"title": "A\0B"}))
    assert named.title == "A B"


async def test_two_new_voices_at_once_are_both_kept(jobs: Jobs) -> None:
    row = await jobs.submit(submission())
    async with running(jobs):
        await finished(jobs, row.id)
    asked = [jobs.redo(row.id, index, {"voice": voice}) for index, voice in ((0, "bob"), (1, "ada"))]
    refused = await asyncio.gather(*asked, return_exceptions=True)
    assert [type(error) for error in refused if error] == [InvalidInput], "one has begun the job again"
    kept = await asyncio.to_thread(jobs.stores.jobs.get, row.id)
    assert {"bob", "ada"} <= set(kept.request["voices"])


def test_a_book_full_of_broken_tags_has_few_warnings() -> None:
    block = Block(500 * "Tea. [/voice] ")
    found = warnings([Chapter(f"Chapter {n}", (block,)) for n in range(6)])
    assert len(found) == 101 and found[-1].startswith("20 more tags")
    assert len(warnings([Chapter("One", (Block("Tea. [/voice]"),))])) == 1
