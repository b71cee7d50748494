"""The configuration of the small family: its phone set and the rate of its codes."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from deployments.contract.errors import CheckpointError
from deployments.families.small.config import SmallConfig
from deployments.families.small.family import WEIGHTS, load
from deployments.families.small.frontend import SmallFrontend
from deployments.families.small.phones import PHONE_SETS
from deployments.text.english.lexicon import load_lexicon
from deployments.text.phones import PHONES

STRESSED = PHONE_SETS["stressed"]
FRONTEND = SmallFrontend(phones=STRESSED)


@pytest.mark.parametrize(
    ("text", "phones"),
    [
        ("Happy people.", "^ h ˈæ p i p ˈi p ᵊ l ."),
        ("Is it late?", "^ ɪ z ɪ t l ˈA t ?"),
        ("Stop!", "^ s t ˈɑ p !"),
        ("Yes, no.", "^ j ˈɛ s , n ˈO ."),
        ("你好吗？", "^ N I2 H AO3 M A5 ?"),
    ],
)
def test_phones_have_stress_tones_and_named_pauses(text: str, phones: str) -> None:
    (segment,) = FRONTEND.segments(text)
    assert FRONTEND.symbols(segment) == phones.split()


@pytest.mark.parametrize(("sign", "closing"), [(";", ";"), (":", ";"), (" —", "—"), ("…", "…")])
def test_a_segment_that_ends_inside_a_sentence_closes_with_its_sign(sign: str, closing: str) -> None:
    first, second = FRONTEND.segments(f"It was late{sign} nobody came.")
    assert FRONTEND.symbols(first)[-1] == closing
    assert (FRONTEND.symbols(second)[0], FRONTEND.symbols(second)[-1]) == ("^", ".")


def test_a_long_sentence_without_signs_is_cut_as_at_a_comma() -> None:
    segments = FRONTEND.segments("and then they went on walking " * 12)
    assert {FRONTEND.symbols(one)[-1] for one in segments[:-1]} == {","}


def test_every_word_of_the_lexicon_can_be_spelled() -> None:
    for phones in load_lexicon().values():
        STRESSED.ids(STRESSED.english(phones))


def test_the_first_set_has_flites_phones() -> None:
    plain = SmallFrontend()
    (segment,) = plain.segments("Is it late, dear?")
    assert plain.symbols(segment) == "pau ih z ih t l ey t pau d ih r pau?".split()
    assert PHONE_SETS["flite"].symbols == PHONES
    assert len(set(STRESSED.symbols)) == len(STRESSED.symbols)


def test_the_config_names_the_set(tmp_path: Path) -> None:
    values = json.loads((WEIGHTS / "small.json").read_text())
    unnamed = {name: value for name, value in values.items() if name != "phone_set"}
    assert SmallConfig(**unnamed).phone_set == "flite"
    for change, reason in (
        ({"phone_set": "stressed", "n_phones": 100}, "n_phones is 100; the phone set stressed has"),
        ({"phone_set": "other"}, "phone_set"),
    ):
        (tmp_path / "small.json").write_text(json.dumps(values | change))
        with pytest.raises(CheckpointError, match=reason):
            load({"weights": tmp_path})
    with pytest.raises(ValidationError, match="n_phones"):
        SmallConfig(n_phones=3)
    (tmp_path / "small.json").write_text(
        json.dumps(values | {"phone_set": "stressed", "n_phones": len(STRESSED.symbols)})
    )
    frontend = load({"weights": tmp_path}).frontend()
    assert isinstance(frontend, SmallFrontend) and frontend.phones is STRESSED


@pytest.mark.parametrize(
    ("codes", "reason"),
    [(101, "codes_per_second is 101; it must divide"), (0, "at least 1"), (-1, "at least 1")],
)
def test_a_code_is_a_whole_number_of_frames(codes: int, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        SmallConfig(codes_per_second=codes)
