"""From text to sound with the tone backend of conftest: order, seeds, limits, cancellation."""

from __future__ import annotations

import asyncio
import gc
import random
from dataclasses import replace

import numpy as np
import pytest

from deployments.contract.errors import Overloaded, SynthesisFailed
from deployments.contract.speech import Sampling, Segment, VocodedChunk, VoicePrompt
from deployments.contract.work import BACKGROUND
from deployments.engine.vocode.schedule import ChunkSchedule
from serve_app.synthesis.room import RejectedBefore
from serve_app.synthesis.segment import segment_seed
from serve_app.synthesis.speech import SegmentBegan, SegmentDone, Sound, Speech
from serve_app.synthesis.stream import Synthesizer
from serve_app.synthesis.text_flow import SILENCE
from tests.serve_app.conftest import RATE

TEXT = "One two three. Four five! Six seven eight nine ten eleven twelve? Thirteen. Fourteen fifteen."
PROMPT = VoicePrompt.of("tones", {"pitch": np.array([220.0])})


def speech(text: str = TEXT, seed: int = 7, **sampling: float) -> Speech:
    return Speech(text, PROMPT, Sampling.of(**({"seed": seed, "temperature": 0.7} | sampling)))


async def collect(synthesizer: Synthesizer, request: Speech) -> np.ndarray:
    return np.concatenate([piece async for piece in synthesizer.stream(request).sound])


async def test_segments_cover_the_text_in_order(backend):
    heard = await collect(Synthesizer(backend), speech())
    np.testing.assert_allclose(heard, backend.expected(TEXT, 7, 220.0), atol=1e-5)


async def test_samples_do_not_depend_on_load_or_window(backend):
    alone = await collect(Synthesizer(backend, window=1), speech())
    generate = backend.generate
    chaos = random.Random(3)

    async def jittery(*args, **kwargs):
        async for codes in generate(*args, **kwargs):
            await asyncio.sleep(chaos.random() * 0.003)
            yield codes

    backend.generate = jittery
    synthesizer = Synthesizer(backend, window=4)
    requests = [speech(seed=7)] + [speech("Other words. And more of them.", seed=i) for i in range(8)]
    heard, *_ = await asyncio.gather(*(collect(synthesizer, request) for request in requests))
    np.testing.assert_array_equal(heard, alone)


async def test_the_first_chunk_arrives_before_the_segment_is_decoded(backend):
    backend.delay = 0.002
    long = "a" * 400
    stream = Synthesizer(backend).stream(speech(long))
    first = await anext(stream.sound)
    assert len(first) < 0.1 * len(backend.expected(long, 7, 220.0))
    assert backend.active, "the GPT still decodes the segment after its first sound"
    await stream.aclose()


async def test_the_seed_determines_the_sound_and_segments_differ(backend):
    synthesizer = Synthesizer(backend)
    one, same, other = [await collect(synthesizer, speech(seed=s)) for s in (1, 1, 2)]
    np.testing.assert_array_equal(one, same)
    assert not np.array_equal(one, other)
    seeds = {segment_seed(s, i) for s in range(20) for i in range(20)}
    assert len(seeds) == 400
    assert all(0 <= seed < 2**63 for seed in seeds)


async def test_the_window_bounds_the_segments_in_progress(backend):
    backend.delay = 0.001
    heard = await collect(Synthesizer(backend, window=3), speech("Word word. " * 30))
    assert len(heard)
    assert 2 <= backend.most_active <= 3


async def test_a_slow_listener_limits_work_ahead(backend):
    stream = Synthesizer(backend, window=2, chunks=ChunkSchedule(10, 1.0, 10)).stream(
        speech("many words here " * 20 + ". " + "b" * 300)
    )
    await anext(stream)
    await asyncio.sleep(0.2)
    made = backend.chunks
    await asyncio.sleep(0.2)
    assert (
        backend.chunks == made <= 2 * (4 + 2)
    )  # two segments: a full queue, one piece waiting, one being read
    await stream.aclose()


async def test_the_first_segment_has_priority_and_only_it_can_be_refused(backend):
    await collect(Synthesizer(backend), speech())
    priorities = [(priority, admitted) for _, priority, admitted in backend.started]
    assert priorities == [(0, False)] + [(1, True)] * 4
    assert len({work_id for work_id, _, _ in backend.started}) == 5


async def test_events_give_the_span_of_each_segment_in_the_text(backend):
    stream = Synthesizer(backend, window=2).stream(speech())
    events = [event async for event in stream]
    began = [event for event in events if isinstance(event, SegmentBegan)]
    done = [event for event in events if isinstance(event, SegmentDone)]
    assert [event.index for event in began] == [event.index for event in done] == list(range(5))
    assert [TEXT[slice(*event.span)] for event in began] == [event.text for event in began]
    assert "".join(event.text for event in began).replace(" ", "") == TEXT.replace(" ", "")
    for event in done:
        before = events[: events.index(event)]
        assert sum(isinstance(one, SegmentBegan) for one in before) == event.index + 1
        assert isinstance(before[-1], Sound)
        assert (event.codes, event.retried, event.cut) == (3 * len(began[event.index].text), False, False)
    seconds = (
        sum(len(event.waveform) for event in events if isinstance(event, Sound)) / backend.spec.sample_rate
    )
    assert stream.seconds == pytest.approx(seconds)


async def test_the_request_id_reaches_every_stage(backend):
    request = replace(speech(), id="req_7")
    await collect(Synthesizer(backend), request)
    await collect(Synthesizer(backend), request)
    ids = [work_id for work_id, _, _ in backend.started]
    assert all(work_id.startswith("req_7.") for work_id in ids)
    assert len(set(ids)) == 10, "two requests of one id do not meet"


async def test_a_refusal_is_raised_and_leaves_no_work(backend):
    backend.max_queue = 0
    stream = Synthesizer(backend).stream(speech())
    with pytest.raises(Overloaded):
        await anext(stream)
    assert len(backend.started) == 1
    assert not backend.active


async def test_after_a_rejection_the_stages_are_not_asked_for_a_moment(backend, monkeypatch):
    backend.max_queue = 0
    room = (synthesizer := Synthesizer(backend)).room
    room.check(0)
    with pytest.raises(Overloaded):
        await anext(synthesizer.stream(speech()))
    with pytest.raises(RejectedBefore, match="Too many requests wait") as again:
        room.check(0)
    assert again.value.retry_after == 2.0
    room.check(BACKGROUND)
    monkeypatch.setattr("serve_app.synthesis.room.REJECTING_S", 0.0)
    room.rejected(again.value)
    room.check(0)


async def test_after_a_rejection_one_request_asks_for_each_segment_that_ends(backend):
    room = (synthesizer := Synthesizer(backend)).room
    room.rejected(Overloaded("Too many requests wait."))
    room.ended()
    room.check(0)
    await collect(synthesizer, replace(speech("One sentence."), id="first"))
    room.enter(0)  # for the segment that this one spoke
    with pytest.raises(RejectedBefore):
        room.enter(0)
    with pytest.raises(RejectedBefore):
        await anext(synthesizer.stream(speech()))


async def test_requests_on_their_way_to_the_stages_are_rejected_with_the_first(backend, monkeypatch):
    backend.max_queue = 0
    synthesizer, read, reading = Synthesizer(backend), asyncio.Event(), backend.segments

    async def segments(*args):
        if args[0] == "Slowly read.":
            await read.wait()
        return await reading(*args)

    backend.segments = segments
    slow = asyncio.create_task(anext(synthesizer.stream(speech("Slowly read."))))
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await anext(synthesizer.stream(speech()))
    monkeypatch.setattr(synthesizer.room, "rejected", lambda error: pytest.fail("it would extend the moment"))
    read.set()
    with pytest.raises(Overloaded, match="Too many requests wait"):
        await slow
    assert len(backend.started) == 1


async def test_text_with_nothing_to_speak_is_a_short_silence_without_any_work(backend):
    stream = Synthesizer(backend).stream(speech("?!"))
    waveforms = [waveform async for waveform in stream.sound]
    assert stream.is_silence and not backend.started
    assert sum(map(len, waveforms)) == round(SILENCE * RATE) and not np.concatenate(waveforms).any()


async def test_a_silent_segment_is_as_long_as_its_pause(backend):
    async def segments(text, language):
        empty = np.zeros(0, np.int64)
        return [
            Segment("[pause:0.5s]", empty, 0.5),
            Segment("one", np.arange(3)),
            Segment("[pause:0.25s]", empty, 0.25),
        ]

    backend.segments = segments
    stream = Synthesizer(backend).stream(speech("one"))
    sound = np.concatenate([waveform async for waveform in stream.sound])
    first, last = round(0.5 * RATE), round(0.25 * RATE)
    assert not sound[:first].any() and not sound[-last:].any() and sound[first:-last].any()
    assert not stream.is_silence and len(backend.started) == 1


@pytest.mark.parametrize("how", ["aclose", "cancel", "forget"])
async def test_closing_a_stream_cancels_everything(backend, how):
    backend.delay = 0.005
    synthesizer = Synthesizer(backend, window=3)
    stream = synthesizer.stream(speech("long words go on and on here. " * 10))
    await anext(stream.sound)
    running = set(backend.active)
    assert running

    async def listen():
        async for _ in stream:
            pass

    if how == "aclose":
        await stream.aclose()
    elif how == "cancel":
        task = asyncio.create_task(listen())
        await asyncio.sleep(0.02)
        running = set(backend.active)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
    else:
        stream.close()
        del stream
        gc.collect()
    for _ in range(500):
        if not backend.active and running <= set(backend.cancelled):
            break
        await asyncio.sleep(0.001)
    assert not backend.active
    assert running <= set(backend.cancelled)
    calls = len(backend.started)
    await asyncio.sleep(0.05)
    assert len(backend.started) == calls, "nothing new is started for a listener who left"


async def test_a_failed_segment_fails_the_stream_after_earlier_sound(backend):
    backend.break_after = 2
    pieces = []
    with pytest.raises(RuntimeError):  # noqa: PT012
        async for piece in Synthesizer(backend).stream(speech()).sound:
            pieces.append(piece)
    expected = backend.expected(TEXT, 7, 220.0)
    heard = np.concatenate(pieces)
    np.testing.assert_allclose(heard, expected[: len(heard)], atol=1e-5)
    await asyncio.sleep(0.01)
    assert not backend.active


async def test_no_sound_or_broken_sound_is_an_error(backend):
    async def silent(*args, **kwargs):
        for nothing in ():
            yield nothing

    generate, backend.generate = backend.generate, silent
    with pytest.raises(SynthesisFailed):
        await collect(Synthesizer(backend), speech())

    async def broken(chunk, **kwargs):
        return VocodedChunk(np.full(320, np.nan, np.float32), {})

    backend.generate, backend.vocode = generate, broken
    with pytest.raises(SynthesisFailed):
        await collect(Synthesizer(backend), speech())


async def test_tokens_are_counted_and_pauses_follow_the_speed(backend):
    stream = Synthesizer(backend).stream(speech("Ab. Cd.", speed=2.0))
    heard = np.concatenate([piece async for piece in stream.sound])
    assert stream.input_tokens == 6
    assert stream.output_tokens == 18
    assert len(heard) == 18 * 320 + round(0.1 / 2.0 * 16_000)


@pytest.mark.parametrize(("speed", "pace"), [(1.5, 1.5), (4.0, 2.0), (0.25, 0.5)])
async def test_speed_beyond_the_models_range_is_applied_as_tempo(backend, monkeypatch, speed, pace):
    asked, generate = [], backend.generate

    def spied(request, **options):
        asked.append(request.sampling.speed)
        return generate(request, **options)

    monkeypatch.setattr(backend, "generate", spied)
    text = "A sentence of some length. And another one."
    heard = await collect(Synthesizer(backend), speech(text, speed=speed))
    whole = sum(3 * 320 * len(part) for part in (text[:26], text[27:])) + 0.1 / pace * 16_000
    assert set(asked) == {pace}
    assert len(heard) == pytest.approx(whole * pace / speed, rel=0.05)


@pytest.mark.parametrize(
    ("speed", "gpt", "vocoder"), [(1.0, 1.0, 1.0), (3.0, 2.0, 1.5), (0.4, 0.5, 0.8), (8.0, 2.0, 2.0)]
)
async def test_the_vocoder_follows_the_speed_that_the_gpt_does_not(backend, speed, gpt, vocoder):
    """And what both do not follow is tempo. Pauses follow all of it."""
    backend.spec = replace(backend.spec, vocoder_paces=(0.5, 2.0))
    asked, vocode = set(), backend.vocode

    async def spied(chunk, **options):
        asked.add(chunk.speed)
        made = await vocode(chunk, **options)
        resampled = np.interp(
            np.arange(0, len(made.waveform), chunk.speed), np.arange(len(made.waveform)), made.waveform
        )
        return replace(made, waveform=resampled.astype(np.float32))

    backend.vocode = spied
    text = "A sentence of some length. And another one."
    heard = await collect(Synthesizer(backend), speech(text, speed=speed))
    (found,) = asked
    assert found == pytest.approx(vocoder)
    codes = sum(3 * len(part) for part in (text[:26], text[27:]))
    wanted = (codes * 320 + 0.1 * 16_000 / gpt) * gpt / speed
    assert len(heard) == pytest.approx(wanted, rel=0.05)


async def test_a_long_text_equals_one_piece_and_few_segments_are_in_memory(backend):
    words = random.Random(5)
    text = " ".join(f"{'word ' * words.randint(1, 12)}{n}{words.choice('.!?')}" for n in range(200))
    pieces, most = [], 0
    async for piece in Synthesizer(backend).stream(speech(text)).sound:
        pieces.append(piece)
        if len(pieces) % 50 == 0:
            most = max(most, sum(isinstance(thing, Segment) for thing in gc.get_objects()))
    np.testing.assert_allclose(np.concatenate(pieces), backend.expected(text, 7, 220.0), atol=2e-4)
    assert len(backend.started) == 200
    assert 0 < most < 100, "all segments of the text are in memory at once"
