"""Detection of codes that cannot be speech, and the handling of such segments."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import numpy as np
import pytest

from deployments.contract.speech import Run, Sampling, Segment, VoicePrompt
from deployments.families import load
from deployments.families.small.gpt import CONTEXT
from deployments.text.segments import MAX_PHONES
from serve_app.synthesis.sanity import Implausible, Watch
from serve_app.synthesis.speech import Speech
from serve_app.synthesis.stream import Synthesizer
from tests.serve_app.conftest import SPEC, codes_of

WATCHED = replace(SPEC, plausible_codes=(1.0, 8.0))
SEGMENT = Segment("Say it.", np.arange(40))
PROMPT = VoicePrompt.of("tones", {"pitch": np.array([220.0])})
TEXT = "One two three. Four five! Six seven."


def watch(spec=WATCHED, segment=SEGMENT, **sampling) -> Watch:
    return Watch(spec, segment, Sampling.of(**sampling))


def take(watched: Watch, codes: np.ndarray, run: int = 16) -> None:
    for start in range(0, len(codes), run):
        watched.take(Run(codes[start : start + run]))
    watched.finish()


def speech(count: int, seed: int = 0) -> np.ndarray:
    """Codes that each last one to six steps, as in speech."""
    rng = np.random.default_rng(seed)
    return np.repeat(rng.integers(0, 1000, count), rng.integers(1, 7, count))[:count]


@pytest.mark.parametrize("count", [40, 41, 160, 320, 420])
def test_speech_is_plausible(count):
    for seed in range(20):
        take(watch(), speech(count, seed))


def test_too_many_codes_are_detected_during_decoding():
    watched = watch()
    with pytest.raises(Implausible, match="420 at most"):
        take(watched, speech(2000))


def test_too_few_codes_are_detected_at_the_end():
    with pytest.raises(Implausible, match="40 at least"):
        take(watch(), speech(39))


def test_a_segment_limited_by_the_request_is_not_too_short():
    take(watch(max_tokens=10), speech(10))


def test_a_segment_that_did_not_end_is_detected_unless_the_request_limited_it():
    long = Segment("Say it all.", np.arange(90))
    watched = watch(segment=long)
    watched.take(Run(speech(500)[:480]))
    watched.take(Run(speech(20, seed=1), cut=True))
    with pytest.raises(Implausible, match="500 codes, the limit"):
        watched.finish()
    asked = watch(segment=long, max_tokens=SPEC.max_tokens - 1)
    asked.take(Run(speech(500), cut=True))
    asked.finish()


def test_the_limit_for_the_small_family_is_below_its_context():
    spec = load("small").spec
    watched = Watch(spec, Segment("", np.arange(MAX_PHONES)), spec.sampling())
    with pytest.raises(Implausible, match="at most"):
        take(watched, speech(CONTEXT - MAX_PHONES - 1))


def test_the_least_codes_follow_the_pace():
    take(watch(speed=2.0), speech(20))
    with pytest.raises(Implausible):
        take(watch(), speech(20))


@pytest.mark.parametrize("period", [1, 2, 3, 7, 20, 40])
def test_repeated_codes_are_detected(period):
    lap = np.arange(period) + 7
    with pytest.raises(Implausible, match=f"the same {period} codes repeat"):
        take(watch(segment=Segment("", np.arange(100))), np.concatenate([speech(60), np.tile(lap, 200)]))


@pytest.mark.parametrize("period", [1, 2, 7, 20])
def test_a_few_repetitions_are_accepted(period):
    rounds = min(3, 70 // period) if period > 1 else 60
    codes = np.concatenate([speech(60), np.tile(np.arange(period) + 7, rounds), speech(60, seed=1)])
    take(watch(), codes)


def test_dropped_silence_does_not_count():
    watched = watch()
    watched.take(Run(np.full(500, 52), kept=np.zeros(500, bool)))
    take(watched, speech(100))


def test_latents_are_not_checked_for_repetition():
    take(watch(), np.zeros((200, 4), np.float32))


def test_a_family_without_limits_is_not_checked():
    take(watch(SPEC), np.zeros(5000, np.int64))


class Faulty:
    """Makes the GPT of `backend` repeat codes for work whose id has one of the given endings."""

    def __init__(self, backend, *ends: str) -> None:
        self.backend, self.generate, self.ends = backend, backend.generate, ends
        backend.spec = replace(WATCHED, plausible_codes=(0.0, 100.0))
        backend.generate = self.loop

    async def loop(self, request, *, id, priority, admitted):
        if not id.endswith(self.ends):
            async for run in self.generate(request, id=id, priority=priority, admitted=admitted):
                yield run
            return
        good = codes_of(request.segment.text, request.sampling.seed)
        for start in range(0, 1000, 16):
            yield Run(np.resize(good[:20], 1000)[start : start + 16])


async def heard(synthesizer: Synthesizer, heat: float = 0.6, **options) -> tuple[np.ndarray, int]:
    stream = synthesizer.stream(Speech(TEXT, PROMPT, Sampling.of(seed=7, temperature=heat), **options))
    pieces = [piece async for piece in stream.sound]
    return np.concatenate(pieces), stream.faults.retried


@pytest.mark.parametrize("segment", ["0", "1", "2"])
async def test_a_whole_response_retries_a_faulty_segment(backend, segment):
    right, none = await heard(Synthesizer(backend))
    Faulty(backend, f".{segment}")
    synthesizer = Synthesizer(backend)
    sound, retried = await heard(synthesizer, whole=True)
    assert (none, retried, synthesizer.faults.retried, synthesizer.faults.cut) == (0, 1, 1, 0)
    assert len(sound) == len(right), "the second try speaks all of it"
    again, _ = await heard(Synthesizer(backend), whole=True)
    np.testing.assert_array_equal(sound, again)


async def test_a_second_fault_cuts_the_segment_off(backend):
    right, _ = await heard(Synthesizer(backend))
    Faulty(backend, ".1", ".1.again")
    synthesizer = Synthesizer(backend)
    sound, retried = await heard(synthesizer, whole=True)
    assert (retried, synthesizer.faults.retried, synthesizer.faults.cut) == (1, 1, 1)
    assert len(sound) < len(right) + 3 * 16000


async def test_at_temperature_zero_nothing_is_retried(backend):
    Faulty(backend, ".1")
    synthesizer = Synthesizer(backend)
    _, retried = await heard(synthesizer, heat=0.0, whole=True)
    assert (retried, synthesizer.faults.retried, synthesizer.faults.cut) == (0, 0, 1)


async def test_a_segment_already_heard_is_not_retried(backend):
    Faulty(backend, ".0")
    backend.delay = 0.001
    synthesizer = Synthesizer(backend)
    _, retried = await heard(synthesizer)
    assert (retried, synthesizer.faults.retried, synthesizer.faults.cut) == (0, 0, 1)


async def test_a_segment_not_yet_heard_is_retried(backend):
    right, _ = await heard(Synthesizer(backend))
    Faulty(backend, ".1")
    synthesizer = Synthesizer(backend)
    stream = synthesizer.stream(Speech(TEXT, PROMPT, SPEC.sampling(seed=7)))
    pieces = [await anext(stream.sound)]
    while not synthesizer.faults.retried:
        await asyncio.sleep(0.001)
    pieces += [piece async for piece in stream.sound]
    assert stream.faults.retried == 1 and synthesizer.faults.cut == 0
    assert len(np.concatenate(pieces)) == len(right)
