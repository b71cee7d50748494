"""Measures: numbers with a unit, sizes, temperatures, feet and inches."""

from __future__ import annotations

import re

from deployments.text.english.fractions import FRACTION, SLASHED, mixed, parted
from deployments.text.english.maths import SCIENTIFIC, SCIENTIFIC_SHAPE, power, scientific
from deployments.text.english.numbers import NUMBER, cardinal, decimal, identifier, ordinal
from deployments.text.english.units import PER, PERIODS, POWERS, POWERS_OF, UNIT, UNITS, name
from deployments.text.rules import Match, Rule, rule

_END = r"(?![\dA-Za-z]|\.\d)"
_RAISED = r"(?:\^?[²³]|[23](?![\d.])|\^[23])"
_MEASURE = (
    rf"(\s|-|)({UNIT})({_RAISED}|⁻?[¹²³⁴-⁹])?((?:/(?:1?\d00?\s?)?(?:{UNIT}|{PER}){_RAISED}?){{0,2}})((?:[\x20·](?:{UNIT})⁻[¹²³]){{0,3}})"
    r"(\.(?=\s+[a-z(]|,))?(?![A-Za-z0-9²³]|'[A-Za-z]|-[a-z]+-)"
)
_INITIALS = re.escape("".join({unit[0] for unit in UNITS}))
_PART = re.compile(rf"/(?:(1?\d00?)\s?)?({UNIT}|{PER})({_RAISED})?(?=/|$)")
_PLACE = re.compile(
    r"\b(?:exit|unit|apt|apartment|gate|seat|room|row|bus|route|platform|track|class|form|figure|fig|table|appendix|"
    r"section|number|no|grade|rule|hall|flat|suite|question|chapter|paragraph|block|building|terminal|pier|schedule)\.?\s$",
    re.IGNORECASE,
)
_LETTER_UNITS = {"N": "newtons", "C": "coulombs", "T": "teslas", "F": "farads"}  # only of scientific numbers
_SIZED_BEFORE = re.compile(r"\d\s?[x×]\s?$")
_INVERSE = re.compile(rf"[ ·]({UNIT})⁻([¹²³])")
_ARTICLE = re.compile(r"\b(?:an?|another|each|every|one|per)\s$", re.IGNORECASE)
_INCHES = re.compile(
    r"\.?(?:\s?[.,;:)!?]|\s?$|\s?[x×]\s?\d|\sby\s\d|\s(?:wide|long|tall|deep|high|thick|across|apart|square|diameter|pipes?|screen|"
    r"ruler|lengths?|pieces|of (?:rain|snow|water|fabric|ribbon)|in (?:diameter|length|width|height)))"
)
_ONLY_ATTACHED = frozenset("v w".split())
_ONLY_SPACED = frozenset("c. K M st t ct ac deg rad ly kn kt pt".split())
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
    if unit == "in" and gap == " " and not (m[7] or _are_inches(m)):
        return None
    if (
        not gap
        and len(unit) == 1
        and unit.isupper()
        and _PLACE.search(text, max(0, m.start() - 12), m.start())
    ):
        return None  # exit 12A
    if unit == "in" and gap == "-" and re.match(r"-\d|-(?:a|one)\b", text[m.end() : m.end() + 5]):
        return None  # 1-in-4
    spaced = gap == " "
    if spaced and unit in _ONLY_ATTACHED or not spaced and unit in _ONLY_SPACED:
        return None
    if spaced and unit in ("A", "M", "K", "st") and _WORD_BEHIND.match(text, m.end()):
        return None  # "vitamins B 12 A ..." is not a current, "30 St James" not a weight
    return _measured(decimal(m[1]), m, m[1] in ("1", "1.0") or _is_modifier(m, gap))


def _are_inches(m: Match) -> bool:
    sized = _SIZED_BEFORE.search(m.string, max(0, m.start() - 4), m.start())
    return bool(sized or _INCHES.match(m.string, m.end()))


@rule(rf"{SCIENTIFIC}{_MEASURE}", when=SCIENTIFIC_SHAPE)
def scientific_measure(m: Match) -> str:
    """3×10⁸ m/s, 10⁻⁹ m"""
    return _measured(scientific(m), m, False, 4)


@rule(rf"{SCIENTIFIC}\s([NCTF])(?![A-Za-z0-9])", when=SCIENTIFIC_SHAPE)
def scientific_letter(m: Match) -> str:
    """6.7×10⁻¹¹ N"""
    return f"{scientific(m)} {_LETTER_UNITS[m[6]]}"


@rule(
    r"(\d{1,9}(?:\.\d{1,9})?)e([+-]?)(\d{1,3})\s(C|[A-Za-zΩ]{1,4}(?:/[A-Za-z]{1,4})?)(?![A-Za-z0-9])",
    when=r"[\d.]*\de",
)
def exponent_measure(m: Match) -> str | None:
    """1.6e-19 C"""
    above, _, below = m[4].partition("/")
    if (
        (above not in UNITS and above not in _LETTER_UNITS)
        or (below and below not in UNITS)
        or not (m[2] or "." in m[1])
    ):
        return None
    many = _LETTER_UNITS.get(above) or name(above, False)
    raised = f"minus {cardinal(int(m[3]))}" if m[2] == "-" else ordinal(int(m[3]))
    return f"{decimal(m[1])} times ten to the {raised} {many}{f' per {per_name(below)}' if below else ''}"


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
        count, unit_below, power_below = per.groups()
        if count:
            spoken += f" per {cardinal(int(count))} {name(unit_below, False) if unit_below in UNITS else unit_below}"
        elif power_below and unit_below in ("s", "h"):
            spoken += f" per {per_name(unit_below)} {power(POWERS_OF[power_below])}"
        else:
            spoken += f" per {POWERS.get(power_below or '', '')}{per_name(unit_below)}"
    for per in _INVERSE.finditer(inverse):
        squared = f" {power(per[2])}" if per[1] == "s" and per[2] != "¹" else ""
        spoken += f" per {'' if squared else POWERS.get(per[2], '')}{name(per[1], True)}{squared}"
    return spoken


def per_name(unit: str) -> str:
    unit = " ".join(unit.split())
    return UNITS[unit][0] if unit in UNITS else PERIODS[unit]


def _is_modifier(m: Match, gap: str) -> bool:
    """Whether the measure comes before its noun: a 512 GB drive, a 5-km run."""
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


@rule(r"(\d{1,2})(?:'\s?|(\s?ft\.?\s))(\d{1,2})(?:\"|''|(\s?in\b\.?))?(?![\d'])", when=r"\d\d?(?:'|\s?f)")
def feet_and_inches(m: Match) -> str | None:
    """5'10\", 6 ft 2 in"""
    if bool(m[2]) != bool(m[4]):
        return None
    feet, inches = int(m[1]), int(m[3])
    modifies = _modifies(m)
    tall = f"{cardinal(feet)} {'foot' if feet == 1 or modifies else 'feet'}"
    return f"{tall} {cardinal(inches)} {'inch' if inches == 1 or modifies else 'inches'}"


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
SCIENTIFIC_RULES: tuple[Rule, ...] = (scientific_measure, scientific_letter, exponent_measure)
