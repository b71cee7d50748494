"""Sampling parameters: declared by a family, checked and described everywhere from the declaration."""

from __future__ import annotations

import pickle

import pytest

from deployments.assembly import load_family
from deployments.contract.controls import Control, chosen, configured, drawing, parsed
from deployments.contract.errors import ConfigError, InvalidInput
from deployments.contract.options import FamilyOptions, ModelOptions, SamplingOptions

WARMTH = Control("warmth", "number", 0.5, "how warm it sounds", 0, 3)
STEPS = Control("steps", "integer", 10, "of the solver", 1, 50, scope="load")
BREATH = Control("breath", "boolean", False, "breathe between words")
CARE = Control("care", "integer", 8, "of the decoder", 4, 32, choices=(4, 8, 16, 32))
ALL = (WARMTH, STEPS, BREATH, CARE, *drawing())


def test_what_is_not_set_has_the_default() -> None:
    values = chosen(ALL, {"warmth": 2, "breath": True, "top_p": None}, "tiny")
    assert values["warmth"] == 2.0
    assert values["breath"] is True
    assert values["steps"] == 10
    assert values["top_p"] == 1.0


@pytest.mark.parametrize(
    ("name", "value", "code", "allowed"),
    [
        ("warmth", 3.1, "invalid_value", "a number from 0 to 3"),
        ("warmth", float("nan"), "invalid_value", "a number from 0 to 3"),
        ("warmth", float("inf"), "invalid_value", "a number from 0 to 3"),
        ("warmth", 10**400, "invalid_value", "a number from 0 to 3"),
        ("warmth", "1", "invalid_type", "a number"),
        ("warmth", True, "invalid_type", "a number"),
        ("warmth", {"a": 1}, "invalid_type", "a number"),
        ("top_k", 5.0, "invalid_type", "an integer from 0 to 8192"),
        ("top_k", -1, "invalid_value", "an integer from 0 to 8192"),
        ("top_p", 0, "invalid_value", "a number above 0, up to 1"),
        ("breath", 1, "invalid_type", "true or false"),
        ("care", 7, "invalid_value", "one of 4, 8, 16, 32"),
        ("care", 64, "invalid_value", "one of 4, 8, 16, 32"),
        ("care", 8.0, "invalid_type", "one of 4, 8, 16, 32"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(
    name: str, value: object, code: str, allowed: str
) -> None:
    with pytest.raises(InvalidInput, match=allowed) as refused:
        chosen(ALL, {name: value}, "tiny")
    assert refused.value.param == name
    assert refused.value.code == code


def test_a_control_of_another_family_is_refused_with_those_of_this_one() -> None:
    said = r"Unknown field 'cfg'\. Sampling parameters of tiny: warmth, breath, care, temperature"
    with pytest.raises(InvalidInput, match=said) as refused:
        chosen(ALL, {"cfg": 2.0}, "tiny")
    assert (refused.value.param, refused.value.code) == ("cfg", "unknown_parameter")
    with pytest.raises(InvalidInput, match="Sampling parameters of mute: none"):
        chosen((), {"cfg": 2.0}, "mute")


def test_what_shapes_the_model_is_set_by_the_configuration_alone() -> None:
    with pytest.raises(InvalidInput, match="fixed when tiny is loaded") as refused:
        chosen(ALL, {"steps": 5}, "tiny")
    assert refused.value.param == "steps"
    assert {c.name: c.default for c in configured(ALL, {"steps": 5}, "tiny")}["steps"] == 5


def test_text_of_a_url_becomes_values() -> None:
    texts = {"warmth": "1.5", "top_k": "3", "breath": "true", "other": "x"}
    assert parsed(ALL, texts) == {"warmth": 1.5, "top_k": 3, "breath": True, "other": "x"}
    wrong = [("warmth", "hot"), ("warmth", "nan"), ("top_k", "3.5"), ("top_k", "9" * 5000), ("breath", "yes")]
    for name, text in wrong:
        with pytest.raises(InvalidInput, match="must be") as refused:
            parsed(ALL, {name: text})
        assert refused.value.param == name


def test_the_spec_of_a_family_is_plain_data() -> None:
    spec = load_family(ModelOptions()).spec
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_a_configuration_sets_the_defaults_of_its_family() -> None:
    options = ModelOptions(sampling=SamplingOptions.model_validate({"temperature": 0.25, "max_tokens": 99}))
    spec = load_family(options).spec
    assert spec.sampling().controls["temperature"] == 0.25
    assert spec.sampling({"temperature": 1}).controls["temperature"] == 1.0
    assert spec.sampling().max_tokens == 99
    assert load_family(ModelOptions()).spec.sampling().controls["temperature"] != 0.25


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"warmth": 1.0}, "unknown key; the sampling parameters of small are: seed, max_tokens, temperature"),
        ({"temperature": 3.0}, "must be a number from 0 to 2"),
        ({"top_k": True}, "must be an integer"),
    ],
)
def test_a_configuration_of_another_family_is_refused(values: dict[str, float], said: str) -> None:
    options = ModelOptions(family=FamilyOptions(), sampling=SamplingOptions.model_validate(values))
    with pytest.raises(ConfigError, match=said) as refused:
        load_family(options)
    assert refused.value.param == f"sampling.{next(iter(values))}"


def test_choices_are_listed_in_the_schema() -> None:
    assert CARE.schema == {
        "type": "integer",
        "default": 8,
        "description": "of the decoder",
        "enum": [4, 8, 16, 32],
    }
    assert parsed(ALL, {"care": "16"}) == {"care": 16}
