"""The frontend: segments with their spans and features, the prompt, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file

from deployments.contract.errors import InvalidInput
from deployments.families.gpt_sovits.text.frontend import GptSovitsFrontend, Rules, phone_features
from tests.families.gpt_sovits.text.conftest import MakeFrontend

PROMPT = "The quick brown fox jumps over the lazy dog near the river bank."
ZH1 = "今天天气真不错，我们一起去公园散步吧。"
ITEMS = {
    "zh1": (ZH1, "zh"),
    "en1": ("Hello world, this is a simple test of the speech system.", "en"),
    "mix1": ("我喜欢用Python写代码，效率提高了50%。", "zh"),
}
RULES: tuple[Rules, ...] = ("mixed", "published")


@pytest.fixture(scope="module")
def frontends(make: MakeFrontend) -> dict[str, GptSovitsFrontend]:
    return {rules: make(rules=rules) for rules in RULES}


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("item", ITEMS)
def test_phones_and_features_are_the_golden_ones(
    gpt_sovits: Path, frontends: dict[str, GptSovitsFrontend], item: str, rules: str
) -> None:
    expected, frontend = load_file(gpt_sovits / "t2s_golden.safetensors"), frontends[rules]
    (segment,) = frontend.segments(*ITEMS[item], {"text_split_method": 0})
    assert segment.token_ids.tolist() == expected[f"t2s.{item}.phones"].tolist()
    assert segment.conditions["phones"].tolist() == segment.token_ids.tolist()
    bert = phone_features(segment.features, len(segment.token_ids), frontend.bert.width)
    np.testing.assert_allclose(bert.T, expected[f"t2s.{item}.bert"], atol=5e-4, rtol=1e-4)


@pytest.mark.parametrize("rules", RULES)
def test_the_prompt_is_the_golden_one(
    gpt_sovits: Path, frontends: dict[str, GptSovitsFrontend], rules: str
) -> None:
    expected, prompt = load_file(gpt_sovits / "t2s_golden.safetensors"), frontends[rules].prompt(PROMPT, "en")
    assert prompt.ids.tolist() == expected["prompt.phones"].tolist()
    np.testing.assert_allclose(prompt.bert.T, expected["prompt.bert"], atol=5e-4, rtol=1e-4)


def test_a_prompt_without_an_end_mark_gets_one(frontends: dict[str, GptSovitsFrontend]) -> None:
    for frontend in frontends.values():
        closed, opened = (
            frontend.prompt(text, "zh").ids.tolist() for text in ("天气真不错。", "天气\n真不错")
        )
        assert closed == opened


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("范围10-20公里。", "范围十到二十公里"),
        ("这个API的延迟只有20ms，very fast！", "这个 a p i 的延迟只有二十毫秒 very fast"),
        (
            "Dr. Smith paid $3.50 at 9:30 p.m.",
            "doctor smith paid three dollars and fifty cents at nine thirty p m",
        ),
        ("电话010-12345678。", "电话零一零一二三四五六七八"),
    ],
)
def test_mixed_rules_read_numbers_in_the_language_around_them(
    frontends: dict[str, GptSovitsFrontend], text: str, spoken: str
) -> None:
    (segment,) = frontends["mixed"].segments(text, None, {"text_split_method": 0})
    assert segment.spoken.replace(",", "") == spoken


def test_mixed_rules_cut_at_no_mark_inside_a_word(frontends: dict[str, GptSovitsFrontend]) -> None:
    text = "Dr. Smith, of example.com, paid $1,250.50 at 9:30 a.m. on Friday. He left, e.g. by train."
    assert [segment.text for segment in frontends["mixed"].segments(text)] == [
        "Dr. Smith,", "of example.com,", "paid $1,250.50 at 9:30 a.m. on Friday.", "He left,", "e.g. by train.",
    ]  # fmt: skip


def test_each_phone_knows_where_its_word_stands(frontends: dict[str, GptSovitsFrontend]) -> None:
    frontend = frontends["mixed"]
    text = "“好，*我*” paid for Émile，范围10-20公里。 Dr. Smith left!"
    seen = []
    for segment in frontend.segments(text):
        assert segment.places is not None and len(segment.places) == len(segment.token_ids)
        for place, symbol in zip(segment.places.tolist(), frontend.symbols(segment), strict=True):
            assert (place < 0) == (symbol in "!?…,.-")
            seen.append(segment.text[place] if place >= 0 else symbol)
    words = [letter for letter, before in zip(seen, ["", *seen], strict=False) if letter != before]
    assert "".join(words) == "好,我pfÉ,范围1020公.DSl!"  # 二十公里 shares the span of -20公里
    assert all(segment.places is None for segment in frontends["published"].segments(text))


def test_marks_are_heard_where_they_stand(frontends: dict[str, GptSovitsFrontend]) -> None:
    frontend = frontends["mixed"]
    (segment,) = frontend.segments(
        "他说过：“好！”真的……Is it (really)? Yes; no - never.", None, {"text_split_method": 0}
    )
    assert [symbol for symbol in frontend.symbols(segment) if not symbol[0].isalpha()] == list(".,!…,?,-.")


@pytest.mark.parametrize("rules", RULES)
@given(
    text=st.text(st.sampled_from("好吗 aZ7，。,.!?…—:;“”()\n-\t"), min_size=1, max_size=60),
    method=st.integers(0, 5),
)
@settings(max_examples=100, deadline=None)
def test_segments_hold_the_whole_text_in_order(
    frontends: dict[str, GptSovitsFrontend], rules: str, text: str, method: int
) -> None:
    frontend = frontends[rules]
    if not any(map(str.isalnum, text)):
        with pytest.raises(InvalidInput):
            frontend.segments(text, None, {"text_split_method": method})
        return
    segments = frontend.segments(text, None, {"text_split_method": method})
    assert "".join("".join(segment.text.split()) for segment in segments) == "".join(text.split())
    for segment in segments:
        assert segment.span and text[slice(*segment.span)] == segment.text
        assert 0 < len(segment.token_ids) <= frontend.most
        row = segment.features.get("bert_row")
        assert row is None or len(row) == len(segment.token_ids)


def test_a_long_segment_is_divided_near_its_middle(frontends: dict[str, GptSovitsFrontend]) -> None:
    text = "我们一起去公园散步，" * 40
    for frontend in frontends.values():
        segments = frontend.segments(text, "zh", {"text_split_method": 0})
        assert "".join(segment.text for segment in segments) == text
        assert len(segments) > 1 and all(len(s.token_ids) <= frontend.most for s in segments)
        assert all(segment.text.endswith("，") for segment in segments)


def test_pauses_are_those_asked_for(frontends: dict[str, GptSovitsFrontend]) -> None:
    frontend = frontends["mixed"]
    assert [segment.pause_after for segment in frontend.segments("你好吗朋友，我很好谢谢。")] == [0.3, 0.3]
    first, silence, last = frontend.segments(
        "你好吗朋友[pause:2s]我很好谢谢。", None, {"fragment_interval": 0.1}
    )
    assert (first.pause_after, silence.pause_after, last.pause_after) == (0, 2, 0.1)
    assert len(silence.token_ids) == 0


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize(
    ("text", "language", "param", "code"),
    [
        ("，。！", None, "input", "nothing_to_speak"),
        ("  \n", None, "input", "empty_input"),
        ("😀", None, "input", "nothing_to_speak"),
        ("こんにちは", None, "language", "unsupported_language"),
        ("你好", "en", "language", "unsupported_language"),
        ("hello", "ja", "language", "unsupported_language"),
        ("你好[pause:99s]", None, "input", "invalid_pause"),
    ],
)
def test_bad_texts_are_refused(
    frontends: dict[str, GptSovitsFrontend],
    rules: str,
    text: str,
    language: str | None,
    param: str,
    code: str,
) -> None:
    with pytest.raises(InvalidInput) as refused:
        frontends[rules].segments(text, language)
    assert (refused.value.param, refused.value.code) == (param, code)
    if code not in ("nothing_to_speak", "empty_input"):
        with pytest.raises(InvalidInput) as checked:
            frontends[rules].check(text, language)
        assert checked.value.code == code
