"""Numbers of houses before the name of a street: 1600 Pennsylvania Ave."""

from __future__ import annotations

from deployments.text.english.numbers import identifier, pairs
from deployments.text.rules import Match, Rule, rule

_KINDS = (
    "St|Ave|Blvd|Rd|Dr|Ln|Ct|Pl|Way|Street|Avenue|Road|Drive|Lane|Court|Boulevard|Place|Highway|Hwy|Pkwy|Parkway|"
    "Terrace|Circle|Cir|Square|Sq|Broadway"
)


@rule(
    rf"([1-9]\d{{2,3}})(?=,?\x20(?:[NSEW]\.?\x20|(?:North|South|East|West)\x20)?"
    rf"(?:(?:[A-Z][a-z]+|\d{{1,3}}(?:st|nd|rd|th))\x20){{0,3}}(?:{_KINDS})\b)",
    when=r"\d{3,4}(?!\d)",
)
def house(m: Match) -> str:
    return pairs(int(m[1])) if len(m[1]) == 4 else identifier(m[1])


RULES: tuple[Rule, ...] = (house,)
