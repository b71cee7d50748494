"""Measures: numbers with a unit, sizes, temperatures, feet and inches."""

from __future__ import annotations

import re

from deployments.text.english.fractions import FRACTION, SLASHED, mixed, parted
from deployments.text.english.maths import power
from deployments.text.english.numbers import NUMBER, cardinal, decimal, identifier
from deployments.text.english.units import PER, PERIODS, POWERS, UNIT, UNITS, name
from deployments.text.rules import Match, Rule, rule

_END = r"(?![\dA-Za-z]|\.\d)"
_RAISED = r"(?:\^?[²³]|[23](?![\d.])|\^[23])"
_MEASURE = (
    rf"(\s|-|)({UNIT})({_RAISED}|⁻?[¹²³⁴-⁹])?((?:/(?:{UNIT}|{PER}){_RAISED}?){{0,2}})((?:[\x20·](?:{UNIT})⁻[¹²³]){{0,3}})"
    r"(\.(?=\s+[a-z(]|,))?(?![A-Za-z0-9²³]|'[A-Za-z]|-[a-z]+-)"
)
_INITIALS = re.escape("".join({unit[0] for unit in UNITS}))
_PART = re.compile(rf"/({UNIT}|{PER})({_RAISED})?(?=/|$)")
_INVERSE = re.compile(rf"[ ·]({UNIT})⁻([¹²³])")
_ARTICLE = re.compile(r"\b(?:an?|another|each|every|one|per)\s$", re.IGNORECASE)
_INCHES = re.compile(
    r"\.?(?:\s?[.,;:)!?]|\s?$|\s?[x×]\s?\d|\sby\s\d|\s(?:wide|long|tall|deep|high|thick|across|apart|square|diameter|pipes?|screen|"
    r"ruler|lengths?|pieces|of (?:rain|snow|water|fabric|ribbon)|in (?:diameter|length|width|height)))"
)
_ONLY_ATTACHED = frozenset("v w".split())
_ONLY_SPACED = frozenset("K M st t ct ac deg rad ly kn kt pt".split())
_WORD_BEHIND = re.compile(r" ([A-Za-z]{3,30})")
_QUOTES = re.compile(r'(?<!\d)"')
_OF_DEVICES = frozenset("V v W w kW GB TB MB MP Hz MHz GHz Ah mAh in mm cc".split())  # 60W bulb, 512GB drive
_THINGS = frozenset(
    "cube cubes piece pieces slice slices strip strips chunk chunks round rounds tin tins can cans bottle "
    "bottles bag bags "
    "jar jars box packet pan dish screw screws nail nails pipe pipes cable cables lens lenses tube tubes tablet "
    "tablets "
    "capsule capsules dose doses race races run runs walk walks hike drive radius range limit deadline screen display "
    "monitor wall walls fence gap hole holes board boards bolt bolts bulb bulbs battery batteries motor engine engines "
    "charger memory hike swim dash sprint hurdles freestyle butterfly syringe syringes breaststroke backstroke".split()
)
_SPACED_DEVICES = frozenset(["in", "MP", "GB", "TB", "V", "W"])
_NOT_NOUNS = frozenset(
    "and for the was were are has had with from per each every long wide high tall deep thick away more less "
    "left free at "
    "but that when while after before then than until into over under above below apart across".split()
)
_TEMPERATURE = re.compile(
    r"(?:\b(?:at|to|of|about|around|below|above|under|over|reach(?:ed|es)?|hit|is|was|oven|between|and|from|or|-)|[-–(])\s?$"
)


@rule(rf"({NUMBER}){_MEASURE}", when=rf"[\d.,]*\d[\s-]?[{_INITIALS}]")
def measure(m: Match) -> str | None:
    """5 km, 20 °C, 100 km/h, 50%, 5 m s⁻¹"""
    gap, unit, text = m[2], " ".join(m[3].split()), m.string
    if unit == "in" and gap and not (gap == "-" or m[7] or _INCHES.match(text, m.end())):
        return None
    spaced = gap == " "
    if spaced and unit in _ONLY_ATTACHED or not spaced and unit in _ONLY_SPACED:
        return None
    if spaced and unit in ("A", "M", "K", "st") and _WORD_BEHIND.match(text, m.end()):
        return None  # "vitamins B 12 A ..." is no current, "30 St James" no weight
    return _measured(decimal(m[1]), m, m[1] in ("1", "1.0") or _is_modifier(m, gap))


@rule(rf"{FRACTION}{_MEASURE}", when=SLASHED)
def fraction_of_a_unit(m: Match) -> str | None:
    """3/4 lb, 2 1/2 tsp"""
    spoken = mixed(m[1], int(m[2]), int(m[3]))
    if m[5] == "%" or (spoken is None and m[1]):
        return None
    if spoken is None:
        return _measured(parted(int(m[2]), m[2], m[3]), m, False, 2)
    return _measured(spoken, m, m[1] is None or _is_modifier(m, m[4]), 2)


def _measured(amount: str, m: Match, singular: bool, shift: int = 0) -> str:
    """shift: groups of the pattern before those of `_MEASURE`, but one."""
    unit, raised, parts, inverse = m[3 + shift], m[4 + shift], m[5 + shift], m[6 + shift]
    if raised and raised not in POWERS:
        spoken = (
            f"{amount} per {name(unit, True)}"
            if raised == "⁻¹"
            else f"{amount} {name(unit, singular)} {power(raised)}"
        )
    else:
        spoken = f"{amount} {POWERS.get(raised or '', '')}{name(unit, singular)}"
    for per in _PART.finditer(parts):
        spoken += f" per {POWERS.get(per[2] or '', '')}{per_name(per[1])}"
    for per in _INVERSE.finditer(inverse):
        spoken += f" per {POWERS.get(per[2], '')}{name(per[1], True)}"
    return spoken


def per_name(unit: str) -> str:
    unit = " ".join(unit.split())
    return UNITS[unit][0] if unit in UNITS else PERIODS[unit]


def _is_modifier(m: Match, gap: str) -> bool:
    """Whether the measure stands before its noun: a 512 GB drive, a 5-km run."""
    text = m.string
    if gap == "-":
        return True
    behind = _WORD_BEHIND.match(text, m.end())
    if behind and (
        behind[1] in _THINGS
        or (not gap or m[3] in _SPACED_DEVICES)
        and m[3] in _OF_DEVICES
        and behind[1] not in _NOT_NOUNS
    ):
        return True
    return bool(behind) and bool(_ARTICLE.search(text, max(0, m.start() - 8), m.start()))


@rule(r"(\d{2,3})\s?°?([FC])(?![A-Za-z0-9'])", when=r"\d{2,3}\s?[°FC]")
def temperature(m: Match) -> str | None:
    """bake at 350F"""
    sure = m[2] == "F" and len(m[1]) == 3 and " " not in m[0]
    if not sure and not _TEMPERATURE.search(m.string, max(0, m.start() - 9), m.start()):
        return None
    return f"{cardinal(int(m[1]))} degrees {'celsius' if m[2] == 'C' else 'fahrenheit'}"


@rule(
    r"(\d{1,3})°\s?(\d{1,2})'\s?(?:(\d{1,2}(?:\.\d{1,4})?)(?:\"|''))?\s?([NSEW](?![A-Za-z]))?",
    when=r"\d{1,3}°",
)
def coordinate(m: Match) -> str | None:
    """48°51'30\" N"""
    parts = [(m[1], "degree"), (m[2], "minute"), (m[3], "second")]
    spoken = [f"{decimal(value)} {unit}{'' if value == '1' else 's'}" for value, unit in parts if value]
    return " ".join([*spoken, {"N": "north", "S": "south", "E": "east", "W": "west"}.get(m[4] or "", "")])


@rule(r"(\d{1,4})\s?(?:h|hrs?)\s?(\d{1,2})\s?(?:mins?|m)?" + _END, when=r"\d{1,4}\s?h")
def hours_and_minutes(m: Match) -> str | None:
    """1h 30m"""
    if m[0][-1].isdigit() and int(m[2]) > 59:
        return None
    hours, minutes = int(m[1]), int(m[2])
    left = f"{cardinal(hours)} {'hour' if hours == 1 else 'hours'}"
    return f"{left} {cardinal(minutes)} {'minute' if minutes == 1 else 'minutes'}"


@rule(r"(\d{1,2})'\s?(\d{1,2})(?:\"|'')?(?![\d'])", when=r"\d\d?'")
def feet_and_inches(m: Match) -> str | None:
    """5'10\""""
    feet, inches = int(m[1]), int(m[2])
    tall = f"{cardinal(feet)} {'foot' if feet == 1 else 'feet'}"
    return f"{tall} {cardinal(inches)} {'inch' if inches == 1 else 'inches'}"


@rule(rf"({NUMBER})(\"|''|')(?![A-Za-z\d])", when=r"[\d.,]*\d[\"']")
def feet_or_inches(m: Match) -> str | None:
    """27\" of a screen, 6' of a man; not the quotation mark that ends a quote"""
    before = m.string[max(0, m.start() - 400) : m.start()]
    if m[2] == "'":
        return (
            None
            if re.search(r"(?:^|[\s(])'\w", before)
            else f"{decimal(m[1])} {'foot' if m[1] == '1' or _modifies(m) else 'feet'}"
        )
    quoted = len(_QUOTES.findall(before)) % 2
    return None if quoted else f"{decimal(m[1])} {'inch' if m[1] == '1' or _modifies(m) else 'inches'}"


@rule(rf"{FRACTION}(?:\"|'')(?![A-Za-z\d])", when=SLASHED)
def fraction_of_inches(m: Match) -> str | None:
    spoken = mixed(m[1], int(m[2]), int(m[3]))
    return spoken and f"{spoken} {'inches' if m[1] and not _modifies(m) else 'inch'}"


def _modifies(m: Match) -> bool:
    return bool(re.match(r" [a-z]{3}", m.string[m.end() : m.end() + 4])) and bool(
        _ARTICLE.search(m.string, max(0, m.start() - 8), m.start())
    )


@rule(
    rf"({NUMBER})\s?[x×]\s?(?={NUMBER}(?:\s?[x×]\s?{NUMBER})?\s?{UNIT}(?![A-Za-z]))", when=r"[\d.,]*\d\s?[x×]"
)
def sized(m: Match) -> str | None:
    """9 x 13 in. pan"""
    return f"{decimal(m[1])} by"


@rule(rf"({NUMBER})(\s?[x×]\s?)({NUMBER})(?:\s?[x×]\s?({NUMBER}))?{_END}", when=r"[\d.,]*\d\s?[x×]")
def dimensions(m: Match) -> str | None:
    """1920x1080"""
    parts = [part for part in (m[1], m[3], m[4]) if part]
    between = " times " if m.string[m.end() : m.end() + 2].lstrip().startswith("=") else " by "  # 2×3=6
    return between.join(identifier(p) if len(p) == 4 and p.isdigit() else decimal(p) for p in parts)


RULES: tuple[Rule, ...] = (
    coordinate, feet_and_inches, feet_or_inches, hours_and_minutes, sized, dimensions, fraction_of_inches,
    fraction_of_a_unit, measure, temperature,
)  # fmt: skip
