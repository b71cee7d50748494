"""Families of other shapes, from text to sound in one process: what the contract allows works end to end."""

from __future__ import annotations

import asyncio
import pickle
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from deployments import families
from deployments.contract.errors import InvalidInput
from deployments.contract.options import ModelOptions
from deployments.contract.speech import GptRequest, Reference, VocoderChunk, VoicePrompt
from deployments.text_frontend import TextFrontend
from serve_app.backends.local import LocalBackend
from serve_app.cli.read import readings
from serve_app.synthesis.segment import segment_seed
from serve_app.synthesis.speech import SegmentBegan, Speech
from serve_app.synthesis.stream import Synthesizer
from tests.tiny.gpt import PATCH

TEXT = "This is spoken by a family of random weights. Here is another sentence of it!"
FAMILIES: dict[str, dict[str, Any]] = {
    "codes": {},
    "patches of few KV heads": {"patches": True, "kv_heads": 2},
    "whole": {"whole": True, "rate": 32_000},
    "whole patches at 48 kHz": {"whole": True, "patches": True, "rate": 48_000, "kv_heads": 1},
    "state at home": {"state": True, "patches": True},
    "a model reads": {"reads": True, "rate": 44_100},
}


@pytest.fixture(autouse=True)
def _tiny(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(families.FAMILIES, "tiny", "tests.tiny.family")


def options_of(sampling: dict[str, Any] | None = None, **options: Any) -> ModelOptions:
    tiny = {"name": "tiny", "options": options}
    wanted = {
        "device": {"preference": "cpu"},
        "family": tiny,
        "sampling": sampling or {},
        "gpt": {"slots": 4},
    }
    return ModelOptions.model_validate(wanted)


@contextmanager
def loaded(**options: Any) -> Iterator[LocalBackend]:
    backend = LocalBackend(options_of(**options)).wait()
    try:
        yield backend
    finally:
        backend.close()


def a_prompt(index: int = 0) -> VoicePrompt:
    return VoicePrompt.of(
        "tiny", {"voice": 0.1 * np.random.default_rng(index).standard_normal(64, np.float32)}
    )


async def streamed(backend: LocalBackend, prompt: VoicePrompt, seed: int = 7) -> np.ndarray:
    from deployments import assembly

    chunks = assembly.schedule(backend.options, backend.spec)
    speech = Speech(TEXT, prompt, backend.spec.sampling(seed=seed))
    stream = Synthesizer(backend, chunks=chunks).stream(speech)
    return np.concatenate([waveform async for waveform in stream.sound])


async def whole(backend: LocalBackend, prompt: VoicePrompt, seed: int = 7) -> np.ndarray:
    """Segment by segment, with all codes of each in one call of the vocoder, by the parts themselves."""
    vocoder = backend.family.vocoder(None)  # pyright: ignore[reportArgumentType]
    pieces = []
    for index, segment in enumerate(await backend.segments(TEXT, None)):
        sampling = backend.spec.sampling(seed=segment_seed(seed, index))
        request = GptRequest(segment, prompt, sampling)
        runs = [run async for run in backend.generate(request, id=f"w{index}", priority=0, admitted=True)]
        frames = np.concatenate([run.spoken for run in runs])
        assert frames.shape[1:] == vocoder.frame_shape
        chunk = VocoderChunk(frames, 0, 0, 0, prompt, sampling.seed, conditions=segment.conditions)
        inputs = vocoder.collate([chunk], 1, len(frames))
        pieces.append(vocoder.split(vocoder.forward(inputs), [chunk])[0].waveform)
    return np.concatenate(pieces)


@pytest.mark.parametrize("options", FAMILIES.values(), ids=FAMILIES)
async def test_what_is_streamed_is_what_the_parts_make_whole(options):
    with loaded(**options) as backend:
        prompts = [a_prompt(i) for i in range(4)]
        expected = await whole(backend, prompts[0])
        heard, *others = await asyncio.gather(*(streamed(backend, prompt) for prompt in prompts))
        np.testing.assert_allclose(heard, expected, atol=1e-5)
        assert len(heard) > backend.spec.sample_rate / 2
        assert not any(np.array_equal(heard, other) for other in others)
        np.testing.assert_array_equal(heard, await streamed(backend, prompts[0]))


async def test_a_segment_that_is_vocoded_whole_is_one_chunk_and_one_run():
    seen: list[VocoderChunk] = []
    with loaded(whole=True) as backend:
        vocode = backend.vocode

        async def watching(chunk: VocoderChunk, **about: Any) -> Any:
            seen.append(chunk)
            return await vocode(chunk, **about)

        backend.vocode = watching
        await streamed(backend, a_prompt())
        segments = await backend.segments(TEXT, None)
        request = GptRequest(segments[0], a_prompt(), backend.spec.sampling(seed=1))
        runs = [run async for run in backend.generate(request, id="one", priority=0, admitted=True)]
    assert len(seen) == len(segments) == 2
    assert [(chunk.left, chunk.right, chunk.first) for chunk in seen] == [(0, 0, 0)] * 2
    assert len(runs) == 1


async def test_the_conditions_of_a_segment_reach_each_of_its_chunks_and_change_its_sound():
    with loaded() as backend:
        segment = (await backend.segments(TEXT, None))[0]
        frames = np.arange(60) % 50
        chunk = VocoderChunk(frames, 0, 0, 0, a_prompt(), 1, conditions=segment.conditions)
        other = replace(chunk, conditions={"phones": np.zeros(5, np.int16)})
        made = [await backend.vocode(c, id=str(i), priority=0) for i, c in enumerate((chunk, other))]
        assert not np.array_equal(made[0].waveform, made[1].waveform)


async def test_a_state_stays_in_its_replica_and_is_made_again_where_it_is_lost():
    with loaded(state=True) as backend:
        worker, vocode, alone = (
            backend.workers["vocoder"],
            backend.vocode,
            await streamed(backend, a_prompt()),
        )
        seen: dict[str, tuple[int, int]] = {}  # where each chunk's frames begin and end

        async def forgetful(chunk: VocoderChunk, **about: Any) -> Any:
            assert chunk.state is None
            seen[about["id"]] = chunk.first, chunk.first + len(chunk.frames)
            if len(seen) in (3, 4):
                worker._states.clear()  # pyright: ignore[reportAttributeAccessIssue]
            made = await vocode(chunk, **about)
            assert not made.state, "nothing large travels"
            return made

        backend.vocode = forgetful
        again = await streamed(backend, a_prompt())
    np.testing.assert_allclose(again, alone, atol=1e-5)
    recovered = {id: span for id, span in seen.items() if id.endswith(".again")}
    assert recovered
    for id, (first, end) in recovered.items():
        start, same_end = seen[id.removesuffix(".again")]
        assert first == 0 < start
        assert end == same_end
    assert len(seen) > 2 * len(recovered), "most states are found where they were left"


def test_conditions_cost_a_message_little():
    """Those of GPT-SoVITS: the phones of a segment, at most some 200, in each of its few chunks."""
    frames, phones = np.zeros(30, np.int64), np.zeros(200, np.int16)
    chunk = VocoderChunk(frames, 0, 6, 0, a_prompt(), 1)
    more = len(pickle.dumps(replace(chunk, conditions={"phones": phones}))) - len(pickle.dumps(chunk))
    assert more < 700


async def test_a_reference_of_several_recordings_and_its_transcript_reach_the_encoder():
    quiet, loud = np.full(16_000, 0.1, np.float32), np.full(8_000, 0.5, np.float32)
    with loaded() as backend:
        one = await backend.encode_voice(Reference.of(quiet, 16_000))
        both = await backend.encode_voice(Reference(((quiet, 16_000), (loud, 8_000)), "four words are said"))
    assert one.tensors["voice"][1] == pytest.approx(0.1)
    assert both.tensors["voice"][1] == pytest.approx(0.3)
    assert both.tensors["voice"][0] == pytest.approx(0.3 + 0.19)


async def test_controls_of_a_family_reach_its_model():
    with loaded(sampling={"depth": 3, "warmth": 1.5}, patches=True) as backend:
        model = backend.workers["gpt"]._model  # pyright: ignore[reportAttributeAccessIssue]
        assert model.depth == 3
        segment = (await backend.segments(TEXT, None))[0]
        made = []
        for index, controls in enumerate(({}, {"warmth": 1.5}, {"warmth": 0.0})):
            request = GptRequest(segment, a_prompt(), backend.spec.sampling(controls, seed=1))
            runs = [run async for run in backend.generate(request, id=f"c{index}", priority=0, admitted=True)]
            made.append(np.concatenate([run.codes for run in runs]))
            assert made[-1].shape[1:] == PATCH
        assert np.array_equal(made[0], made[1])
        assert not np.array_equal(made[0][:5], made[2][:5])


async def test_controls_of_the_text_reach_the_frontend():
    spoken = []
    with loaded(joins=True) as backend:
        for controls in ({}, {"sentences": 2}):
            sampling = backend.spec.sampling(controls, seed=7)
            stream = Synthesizer(backend).stream(Speech(TEXT, a_prompt(), sampling))
            spoken.append([event.text async for event in stream if isinstance(event, SegmentBegan)])
    assert list(map(len, spoken)) == [2, 1]
    assert " ".join(spoken[0]) == spoken[1][0] == TEXT
    stage = TextFrontend(options_of(joins=True))
    first, second = [await stage.segments(TEXT, None, {"sentences": n}) for n in (1, 2)]
    assert isinstance(first, list) and isinstance(second, list) and (len(first), len(second)) == (2, 1)
    names = await stage.symbols(second)
    assert isinstance(names, list) and names == [[str(index) for index in second[0].token_ids]]


def test_chorale_read_gives_a_frontend_its_device_and_the_configured_controls():
    found = readings(options_of({"sentences": 2}, joins=True, reads=True), TEXT, None)
    assert [reading["text"] for reading in found] == [TEXT]


async def test_a_frontend_with_a_model_runs_on_a_device_thread():
    plain, reading = TextFrontend(options_of()), TextFrontend(options_of(reads=True))
    (one, *_), (other, *_) = [await stage.segments(TEXT) for stage in (plain, reading)]
    assert not np.array_equal(one.token_ids, other.token_ids)
    assert isinstance(await reading.segments("?!"), InvalidInput)
    assert isinstance(await reading.check("Good.", "fr"), InvalidInput)
    assert "device" not in await plain.status()
    assert (await reading.status())["device"]["kind"] == "cpu"
    assert (await reading.free())["after"]["rss_bytes"] > 0
