"""Sampling parameters: a family declares each once, and schemas, checks, options and docs are made from that."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from deployments.contract.errors import ConfigError, InvalidInput, unknown_fields

Value = float | int | bool
Controls = tuple["Control", ...]
RETRY = "retry_badcase"  # a control that a family may declare: false keeps a segment whose codes are not plausible


@dataclass(frozen=True, slots=True)
class Control:
    """A sampling parameter of a family.

    minimum, maximum: of a number, both allowed, unless `above_minimum`; choices: the only ones allowed, if any. scope:
    "request" for one that each request may set, "load" for one that shapes the model, so that only the configuration
    sets it.
    """

    name: str
    type: Literal["number", "integer", "boolean"]
    default: Value
    description: str
    minimum: float = 0
    maximum: float = 1
    above_minimum: bool = False
    scope: Literal["request", "load"] = "request"
    choices: tuple[int, ...] = ()

    @property
    def allowed(self) -> str:
        if self.type == "boolean":
            return "true or false"
        if self.choices:
            return f"one of {', '.join(map(str, self.choices))}"
        noun = "an integer" if self.type == "integer" else "a number"
        low = f"above {self.minimum:g}, up" if self.above_minimum else f"from {self.minimum:g}"
        return f"{noun} {low} to {self.maximum:.15g}"

    @property
    def schema(self) -> dict[str, Any]:
        """JSON Schema."""
        about = {"type": self.type, "default": self.default, "description": self.description}
        if self.type == "boolean":
            return about
        if self.choices:
            return about | {"enum": list(self.choices)}
        low = "exclusiveMinimum" if self.above_minimum else "minimum"
        return about | {low: self.minimum, "maximum": self.maximum}

    def checked(self, value: object) -> Value:
        """Raises InvalidInput (param: the control's name)."""
        is_flag = isinstance(value, bool)
        kinds = {"number": (int, float), "integer": int, "boolean": bool}[self.type]
        if not isinstance(value, kinds) or is_flag != (self.type == "boolean"):
            raise self._refusal("invalid_type")
        assert isinstance(value, (int, float))
        above = value > self.minimum if self.above_minimum else value >= self.minimum
        if not is_flag and not (above and value <= self.maximum):  # False for NaN, too
            raise self._refusal("invalid_value")
        if self.choices and value not in self.choices:
            raise self._refusal("invalid_value")
        return float(value) if self.type == "number" else value

    def parsed(self, text: str) -> Value:
        """`text` from a URL. Raises InvalidInput (param: the control's name)."""
        try:
            if self.type == "boolean":
                return {"true": True, "false": False}[text.lower()]
            return self.checked(int(text) if self.type == "integer" else float(text))
        except (ValueError, KeyError):
            raise self._refusal("invalid_type") from None

    def _refusal(self, code: str) -> InvalidInput:
        return InvalidInput(f"Invalid '{self.name}': must be {self.allowed}.", param=self.name, code=code)


_TOP_K = "sample from this many of the most likely codes; 0: from all"
_TOP_P = "sample from the most likely codes that together reach this probability"
_PENALTY = "above 1, codes that have occurred become less likely"


def drawing(
    *, temperature: float = 0.7, top_k: int = 25, top_p: float = 1.0, repetition_penalty: float = 1.0
) -> Controls:
    """The controls of the engine's `SamplingState`, with a family's defaults."""
    return (
        Control("temperature", "number", temperature, "0 always takes the most likely code", 0, 2),
        Control("top_k", "integer", top_k, _TOP_K, 0, 8192),
        Control("top_p", "number", top_p, _TOP_P, above_minimum=True),
        Control("repetition_penalty", "number", repetition_penalty, _PENALTY, 0.5, 10),
    )


def chosen(controls: Controls, values: Mapping[str, object], model: str) -> dict[str, Value]:
    """Every control's value: of a request's `values`, else the default. None counts as missing.

    Raises InvalidInput for an unknown name, a value out of range, or a control that is fixed when the model is loaded.
    """
    known = {control.name: control for control in controls}
    if unknown := [name for name in values if name not in known]:
        settable = [control.name for control in controls if control.scope == "request"]
        raise unknown_fields(unknown, f" Sampling parameters of {model}: {', '.join(settable) or 'none'}.")
    found = {control.name: control.default for control in controls}
    for name, value in values.items():
        if value is not None and known[name].scope == "load":
            fixed = f"it is fixed when {model} is loaded (sampling.{name} in the configuration)"
            raise InvalidInput(f"Invalid '{name}': {fixed}.", param=name)
        if value is not None:
            found[name] = known[name].checked(value)
    return found


def parsed(controls: Controls, texts: Mapping[str, object]) -> dict[str, Any]:
    """The values of `texts` (a list where a URL names one twice); unknown ones as they are. Raises InvalidInput."""
    known = {control.name: control for control in controls}
    return {name: known[name].parsed(str(text)) if name in known else text for name, text in texts.items()}


def configured(controls: Controls, values: Mapping[str, object], family: str) -> Controls:
    """The controls with a configuration's `values` as their defaults. Raises ConfigError (param "sampling.<name>")."""
    known = {control.name: control for control in controls}
    for name, value in values.items():
        if name not in known:
            allowed = f"the sampling parameters of {family} are: {', '.join(['seed', 'max_tokens', *known])}"
            raise ConfigError(f"unknown key; {allowed}", param=f"sampling.{name}")
        try:
            if value is not None:
                known[name] = replace(known[name], default=known[name].checked(value))
        except InvalidInput:
            wrong = f"must be {known[name].allowed} (is {value!r})"
            raise ConfigError(wrong, param=f"sampling.{name}") from None
    return tuple(known.values())
