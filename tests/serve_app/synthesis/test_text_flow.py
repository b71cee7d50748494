"""A text read in pieces has the segments of the whole text, and few of them exist at a time."""

from __future__ import annotations

import asyncio
import random
from pathlib import Path

import numpy as np
import pytest

from deployments import families
from deployments.contract.errors import InvalidInput
from deployments.contract.family import Frontend
from deployments.contract.speech import Segment
from serve_app.synthesis.text_flow import AHEAD, FIRST_PIECE, PIECE, SILENCE, TextFlow
from tests.golden.indextts_set import FOLDER

SENTENCES = (Path(__file__).parents[2] / "data" / "sentences.txt").read_text().split("\n")
BETWEEN = (" ", " ", " ", "\n", "\n\n", " \n \n", "\n- ", "\n\n12. ", " (it is said) ", ' "Yes!" he said. ')
CHINESE = "这是第{}句话，我们今天要去公园散步。天气很好！你想一起去吗？"


def english(length: int, seed: int) -> str:
    chance = random.Random(seed)
    text = ""
    while len(text) < length:
        text += chance.choice(SENTENCES).strip() + chance.choice(BETWEEN)
    return text


class Asked:
    """A frontend that records the lengths of its inputs."""

    def __init__(self, frontend: Frontend) -> None:
        self.frontend = frontend
        self.lengths: list[int] = []

    async def segments(self, text: str, language: str | None) -> list[Segment]:
        self.lengths.append(len(text))
        return self.frontend.segments(text, language)

    async def check_text(self, text: str, language: str | None) -> None:
        self.frontend.check(text, language)


@pytest.fixture(scope="module")
def small() -> Frontend:
    return families.load("small").frontend()


@pytest.fixture(scope="module")
def indextts() -> Frontend:
    options = {"model_dir": str(FOLDER / "checkpoint"), "max_text_tokens_per_sentence": 60}
    return families.load("indextts", options).frontend()


async def read(ask: Asked, text: str, language: str | None = None) -> list[Segment]:
    flow = TextFlow(ask, text, language)
    segments = []
    while (segment := await flow.next()) is not None:
        segments.append(segment)
    assert flow.ready() is None and await flow.next() is None
    return segments


def assert_same(found: list[Segment], whole: list[Segment]) -> None:
    assert [segment.text for segment in found] == [segment.text for segment in whole]
    assert [segment.pause_after for segment in found] == [segment.pause_after for segment in whole]
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_array_equal(one.token_ids, other.token_ids)


@pytest.mark.parametrize("seed", range(6))
async def test_the_small_family_segments_a_long_text_as_a_whole(small, seed):
    text = english(9000, seed)
    ask = Asked(small)
    assert_same(await read(ask, text), small.segments(text))
    assert max(ask.lengths) < 2 * PIECE + 400
    assert sum(ask.lengths) < 5 * len(text)


async def test_segments_have_spans_in_the_whole_text(small):
    text = english(6000, seed=3)
    at = 0
    for segment in await read(Asked(small), text):
        assert segment.span is not None
        start, end = segment.span
        assert text[start:end] == segment.text
        assert start >= at and not text[at:start].strip(), "nothing is left out between two segments"
        at = end
    assert not text[at:].strip()


@pytest.mark.parametrize("language", ["zh", "en"])
async def test_a_family_that_joins_sentences_segments_a_long_text_as_a_whole(indextts, language):
    text = english(4000, 1) if language == "en" else "".join(CHINESE.format(n) for n in range(120))
    ask = Asked(indextts)
    assert_same(await read(ask, text, language), indextts.segments(text, language))
    assert max(ask.lengths) < len(text) / 2


async def test_a_short_text_takes_one_call(small):
    ask = Asked(small)
    text = english(FIRST_PIECE, 2)
    assert_same(await read(ask, text), small.segments(text))
    assert ask.lengths == [len(text)]


async def test_a_text_without_sentence_ends_is_not_split(small):
    text = "and so on " * 500
    ask = Asked(small)
    assert_same(await read(ask, text), small.segments(text))


async def test_nothing_is_read_before_it_is_needed(small):
    text = english(30_000, 3)
    ask = Asked(small)
    flow = TextFlow(ask, text)
    first = await flow.next()
    assert first is not None and first.text == small.segments(text)[0].text
    await asyncio.sleep(0.2)
    assert sum(ask.lengths) < 6 * PIECE, "it keeps reading although no sound is consumed"
    taken = 0
    while flow.ready() is not None:
        taken += 1
    assert taken >= AHEAD - 1
    flow.close()
    calls = len(ask.lengths)
    await asyncio.sleep(0.05)
    assert len(ask.lengths) == calls


async def test_an_empty_text_is_refused(small):
    for text in ("", "   "):
        with pytest.raises(InvalidInput) as found:
            await read(Asked(small), text)
        assert found.value.code == "empty_input"


@pytest.mark.parametrize(
    "text",
    ["?!", "...", "…", "—", "*", "()", "---", "😊", "👍🏽", "❤️", '"', "。", "→", "%", "* * *\n\n" * 400],
)
async def test_a_text_with_nothing_to_speak_is_a_short_silence(small, indextts, text):
    for frontend in (small, indextts):
        flow = TextFlow(Asked(frontend), text)
        segment = await flow.next()
        assert flow.is_silence and segment is not None
        assert (len(segment.token_ids), segment.pause_after) == (0, SILENCE)
        assert await flow.next() is None


@pytest.mark.parametrize("order", [(0, 1), (1, 0), (0, 1, 0), (1, 0, 1)])
async def test_a_piece_with_nothing_to_speak_is_skipped(small, order):
    parts = (english(3000, 4), "\n\n" + "* * *\n\n" * 500)
    text = "".join(parts[part] for part in order)
    found, whole = await read(Asked(small), text), small.segments(text)
    for one, other in zip(found, whole, strict=True):
        np.testing.assert_array_equal(one.token_ids, other.token_ids)


async def test_unreadable_text_is_refused_before_any_speech(small):
    text = english(6000, 5)
    with pytest.raises(InvalidInput) as refused:
        await read(Asked(small), "Добрый день. " + text)
    assert refused.value.param == "input"
    with pytest.raises(InvalidInput) as refused:
        await TextFlow(Asked(small), text, "fr").next()
    assert refused.value.param == "language"

    asked = Asked(small)
    with pytest.raises(InvalidInput, match=f"at character {len(text) + 1}"):
        await TextFlow(asked, text + "Добрый день.").next()
    assert not asked.lengths
