"""Hostile Mandarin input: read or refused, in linear time."""

from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.contract.errors import InvalidInput
from deployments.families.small.frontend import SmallFrontend

FRONTEND = SmallFrontend()
# Repeated units; _ stands for a space
UNITS = "一 1一 1, 1- 1/ 1: 1. 1_ 0 + ¥ 一a1 a1 I_ ٣ 单 公里/ 1kg/ 电话1,_ （ ²".split()


@pytest.mark.timeout(60)
@pytest.mark.parametrize("unit", UNITS)
def test_time_grows_with_length_alone(unit: str) -> None:
    """Quadratic work on 60,000 characters would run into the time limit."""
    segments = FRONTEND.segments("号一" + unit.replace("_", " ") * (60_000 // len(unit)), "zh")
    assert sum(len(segment.text) for segment in segments) > 30_000


@pytest.mark.parametrize("text", ["一" * 30_000, "（" * 5_000 + "一" + "）" * 5_000, "9" * 20_000 + "元"])
def test_what_is_long_is_read(text: str) -> None:
    assert FRONTEND.segments(text)


@pytest.mark.parametrize(
    ("text", "spoken"),
    [("共8224 10/29/1980万", "共八千二百二十四十二十九一千九百八十万"), ("约12 1/2/3个", "约十二一二三个")],
)
def test_a_number_before_a_choice_is_read(text: str, spoken: str) -> None:
    assert FRONTEND.spoken(text, "zh").replace(" ", "") == spoken


@settings(max_examples=200, deadline=None)
@given(
    st.text(
        "0123456789零一二点年月日号元¥$%+-~/:.,，。、（）() ×=²₂°CkmgLhTGBIVXx码电话血压的区单٣Ⅳ½‰",
        max_size=60,
    )
)
def test_nothing_but_invalid_input_is_raised(text: str) -> None:
    with suppress(InvalidInput):
        FRONTEND.segments(text, "zh")
