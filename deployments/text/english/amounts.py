"""Money, measures, percentages, fractions and plain numbers."""

from __future__ import annotations

import re

from deployments.text.english.numbers import (
    cardinal,
    decimal,
    digits,
    identifier,
    ordinal,
    plural,
    whole,
    year,
)
from deployments.text.rules import Match, Rule, letters, rule

_FRACTION = r"\.\d{1,30}(?!\d)"
NUMBER = (
    rf"(?:\d{{1,3}}(?:,\d{{3}}){{1,10}}(?!\d)(?:{_FRACTION})?|\d{{1,30}}(?!\d)(?:{_FRACTION})?|{_FRACTION})"
)
_END = r"(?![\dA-Za-z]|\.\d)"

CURRENCIES = {  # singular and plural, then singular and plural of a hundredth
    "$": ("dollar", "dollars", "cent", "cents"),
    "£": ("pound", "pounds", "penny", "pence"),
    "€": ("euro", "euros", "cent", "cents"),
    "¥": ("yen", "yen", "sen", "sen"),
    "₹": ("rupee", "rupees", "paisa", "paise"),
    "₩": ("won", "won", "jeon", "jeon"),
    "₽": ("ruble", "rubles", "kopek", "kopeks"),
    "¢": ("cent", "cents", "", ""),
    "USD": ("U S dollar", "U S dollars", "cent", "cents"),
    "EUR": ("euro", "euros", "cent", "cents"),
    "GBP": ("pound", "pounds", "penny", "pence"),
    "JPY": ("yen", "yen", "sen", "sen"),
}
SCALES = {"k": "thousand", "m": "million", "mn": "million", "b": "billion", "bn": "billion", "t": "trillion"}
_SCALE = r"(?:\s?(thousand|million|billion|trillion|[KkMmBbTt]|mn|bn)(?![A-Za-z]))?"
_SIGN = r"[$£€¥₹₩₽]"

UNITS = {  # singular, plural
    "km": ("kilometer", "kilometers"), "m": ("meter", "meters"), "cm": ("centimeter", "centimeters"),
    "mm": ("millimeter", "millimeters"), "nm": ("nanometer", "nanometers"), "µm": ("micrometer",
    "micrometers"),
    "ft": ("foot", "feet"), "mi": ("mile", "miles"), "yd": ("yard", "yards"), "yds": ("yard", "yards"),
    "kg": ("kilogram", "kilograms"), "g": ("gram", "grams"), "mg": ("milligram", "milligrams"),
    "µg": ("microgram", "micrograms"), "lb": ("pound", "pounds"), "lbs": ("pound", "pounds"),
    "oz": ("ounce", "ounces"), "l": ("liter", "liters"), "L": ("liter", "liters"),
    "ml": ("milliliter", "milliliters"), "mL": ("milliliter", "milliliters"), "gal": ("gallon", "gallons"),
    "s": ("second", "seconds"), "sec": ("second", "seconds"), "secs": ("second", "seconds"),
    "ms": ("millisecond", "milliseconds"), "µs": ("microsecond", "microseconds"),
    "ns": ("nanosecond", "nanoseconds"), "min": ("minute", "minutes"), "mins": ("minute", "minutes"),
    "h": ("hour", "hours"), "hr": ("hour", "hours"), "hrs": ("hour", "hours"), "yrs": ("year", "years"),
    "Hz": ("hertz", "hertz"), "kHz": ("kilohertz", "kilohertz"), "KHz": ("kilohertz", "kilohertz"),
    "MHz": ("megahertz", "megahertz"), "GHz": ("gigahertz", "gigahertz"),
    "W": ("watt", "watts"), "kW": ("kilowatt", "kilowatts"), "MW": ("megawatt", "megawatts"),
    "GW": ("gigawatt", "gigawatts"), "kWh": ("kilowatt hour", "kilowatt hours"),
    "V": ("volt", "volts"), "A": ("amp", "amps"), "mA": ("milliamp", "milliamps"),
    "mAh": ("milliamp hour", "milliamp hours"), "Ω": ("ohm", "ohms"), "J": ("joule", "joules"),
    "kJ": ("kilojoule", "kilojoules"), "Pa": ("pascal", "pascals"),
    "kPa": ("kilopascal", "kilopascals"), "dB": ("decibel", "decibels"),
    "cal": ("calorie", "calories"), "kcal": ("kilocalorie", "kilocalories"),
    "KB": ("kilobyte", "kilobytes"), "kB": ("kilobyte", "kilobytes"), "MB": ("megabyte", "megabytes"),
    "GB": ("gigabyte", "gigabytes"), "TB": ("terabyte", "terabytes"), "PB": ("petabyte", "petabytes"),
    "KiB": ("kibibyte", "kibibytes"), "MiB": ("mebibyte", "mebibytes"), "GiB": ("gibibyte", "gibibytes"),
    "kbps": ("kilobit per second", "kilobits per second"), "Mbps": ("megabit per second",
    "megabits per second"),
    "Gbps": ("gigabit per second", "gigabits per second"), "px": ("pixel", "pixels"),
    "mph": ("mile per hour", "miles per hour"), "kph": ("kilometer per hour", "kilometers per hour"),
    "kmh": ("kilometer per hour", "kilometers per hour"), "rpm": ("R P M", "R P M"), "fps": ("F P S",
    "F P S"),
    "psi": ("P S I", "P S I"), "ha": ("hectare", "hectares"), "sq ft": ("square foot", "square feet"),
    "sq m": ("square meter", "square meters"), "sq km": ("square kilometer", "square kilometers"),
    "°C": ("degree celsius", "degrees celsius"), "°F": ("degree fahrenheit", "degrees fahrenheit"),
    "°": ("degree", "degrees"), "%": ("percent", "percent"), "¢": ("cent", "cents"),
}  # fmt: skip
_UNIT = "(?:" + "|".join(sorted((u.replace(" ", r"\s") for u in UNITS), key=len, reverse=True)) + ")"
_POWERS = {"²": "square ", "2": "square ", "³": "cubic ", "3": "cubic "}


def _money(amount: str, sign: str, scale: str | None) -> str:
    one, many, hundredth, hundredths = CURRENCIES[sign]
    if scale:
        return f"{decimal(amount)} {SCALES.get(scale.lower(), scale)} {many}"
    left, _, right = amount.replace(",", "").partition(".")
    if len(right) != 2 or not hundredth or len(left) > 15:
        return f"{decimal(amount)} {one if amount == '1' else many}"
    whole_part, cents = int(left or 0), int(right)
    spoken = [f"{cardinal(whole_part)} {one if whole_part == 1 else many}"] if whole_part or not cents else []
    if cents:
        spoken.append(f"{cardinal(cents)} {hundredth if cents == 1 else hundredths}")
    return " and ".join(spoken)


@rule(rf"((?:US|CA|AU|NZ|HK|A|C)(?=\$))?({_SIGN})\s?({NUMBER}){_SCALE}{_END}")
def money(m: Match) -> str | None:
    """$1,234.56 and $3.2 billion"""
    spoken = _money(m[3], m[2], m[4])
    return f"{letters(m[1])} {spoken}" if m[1] and m[1] != "US" else spoken


@rule(rf"({NUMBER}){_SCALE}\s?({_SIGN}|(?:USD|EUR|GBP|JPY)\b)(?!\d)")
def money_after(m: Match) -> str | None:
    """20 €"""
    return _money(m[1], m[3], m[2])


@rule(rf"({NUMBER})(\s?)({_UNIT})([²³]|[23](?![\d.,]))?(?:/({_UNIT})([²³23])?)?(?![A-Za-z0-9²³]|'[A-Za-z])")
def measure(m: Match) -> str | None:
    """5 km, 20 °C, 100 km/h, 50%"""
    unit = " ".join(m[3].split())
    if unit == "A" and m[2]:  # "12A" is a current, "vitamins B 12 A ..." is not
        return None
    one, many = UNITS[unit]
    spoken = f"{decimal(m[1])} {_POWERS.get(m[4] or '', '')}{one if m[1] == '1' else many}"
    if m[5]:
        spoken += f" per {_POWERS.get(m[6] or '', '')}{UNITS[' '.join(m[5].split())][0]}"
    return spoken


@rule(rf"(\d{{1,3}})\s?h\s?(\d{{1,2}})\s?m(?:in)?{_END}")
def hours_and_minutes(m: Match) -> str | None:
    """1h 30m"""
    hours, minutes = int(m[1]), int(m[2])
    left = f"{cardinal(hours)} {'hour' if hours == 1 else 'hours'}"
    return f"{left} {cardinal(minutes)} {'minute' if minutes == 1 else 'minutes'}"


@rule(r"(\d{1,2})'\s?(\d{1,2})(?:\"|'')")
def feet_and_inches(m: Match) -> str | None:
    """5'10\""""
    feet, inches = int(m[1]), int(m[2])
    tall = f"{cardinal(feet)} {'foot' if feet == 1 else 'feet'}"
    return f"{tall} {cardinal(inches)} {'inch' if inches == 1 else 'inches'}"


@rule(rf"({NUMBER})\s?[x×]\s?({NUMBER})(?:\s?[x×]\s?({NUMBER}))?{_END}")
def dimensions(m: Match) -> str | None:
    """1920x1080"""
    parts = [part for part in m.groups() if part]
    between = " times " if m.string[m.end() : m.end() + 2].lstrip().startswith("=") else " by "  # 2×3=6
    return between.join(identifier(p) if len(p) == 4 and p.isdigit() else decimal(p) for p in parts)


@rule(r"(\d{1,9}(?:\.\d{1,9})?)e([+-]?)(\d{1,3})(?![A-Za-z0-9]|\.\d)", re.IGNORECASE)
def power_of_ten(m: Match) -> str | None:
    """1.5e-3"""
    if not m[2] and "." not in m[1]:
        return None  # 3e5 could as well be a name
    power = f"minus {cardinal(int(m[3]))}" if m[2] == "-" else ordinal(int(m[3]))
    return f"{decimal(m[1])} times ten to the {power}"


@rule(rf"({NUMBER})([A-Za-z]{{1,2}})(?![A-Za-z0-9'])")
def decimal_with_letters(m: Match) -> str | None:
    """3.5k"""
    return f"{decimal(m[1])} {letters(m[2])}" if "." in m[1] or "," in m[1] else None


def fraction(numerator: int, denominator: int) -> str:
    """3, 4 -> three quarters"""
    if denominator == 2:
        return f"{cardinal(numerator)} {'half' if numerator == 1 else 'halves'}"
    part = "quarter" if denominator == 4 else ordinal(denominator)
    return f"{cardinal(numerator)} {part if numerator == 1 else plural(part)}"


@rule(r"(?:(\d{1,4})\s)?(\d{1,4})/(\d{1,4})(?![\d/A-Za-z])")
def ratio(m: Match) -> str | None:
    """1/2, 2 3/4, 24/7"""
    top, bottom = int(m[2]), int(m[3])
    if m[1] is None and (m[2], m[3]) in {("24", "7"), ("9", "11"), ("50", "50"), ("20", "20")}:
        return f"{cardinal(top)} {cardinal(bottom)}"
    if 0 < top < bottom and 2 <= bottom <= 100 and m[2][0] != "0" and m[3][0] != "0":
        spoken = fraction(top, bottom)
        if m[1] and top == 1 and bottom in (2, 4):
            spoken = f"a {spoken.split()[1]}"
        return f"{whole(m[1])} and {spoken}" if m[1] else spoken
    if m[1]:
        return None
    return f"{whole(m[2])} slash {whole(m[3])}"


@rule(r"(\d{1,3}(?:,\d{3}){1,5}|\d{1,15})(?:st|nd|rd|th)(?![A-Za-z0-9])", re.IGNORECASE)
def ordinal_number(m: Match) -> str | None:
    """22nd"""
    return ordinal(int(m[1].replace(",", "")))


@rule(r"\d{1,9}(?:\.\d{1,9}){2,8}(?!\.?\d)(?![A-Za-z])")
def version(m: Match) -> str | None:
    """1.2.3 and 192.168.0.1"""
    return " dot ".join(whole(part) for part in m[0].split("."))


@rule(r"\d{1,12}(?:-\d{1,12}){2,8}(?![A-Za-z0-9])")
def digit_groups(m: Match) -> str | None:
    """978-3-16-148410-0"""
    return " , ".join(digits(part) for part in m[0].split("-"))


@rule(rf"(\d{{4}})(?!\d|,\d|\.\d){_END}")
def year_number(m: Match) -> str | None:
    """1999, 2026; other four-digit numbers only after a word about time"""
    value = int(m[1])
    before = m.string[max(0, m.start() - 12) : m.start()].lower().split()
    if 1800 <= value <= 2099 or (1000 < value < 1800 and before and before[-1] in _TIME_WORDS):
        return year(value)
    return None


_TIME_WORDS = frozenset(
    "in since year from until till before after around circa during summer winter spring autumn fall early "
    "late mid "
    "january february march april may june july august september october november december".split()
)


@rule(rf"({NUMBER}){_END}")
def number(m: Match) -> str | None:
    return decimal(m[1])


SIGN_RULES: tuple[Rule, ...] = (money,)
DIGIT_RULES: tuple[Rule, ...] = (
    power_of_ten, feet_and_inches, hours_and_minutes,
    dimensions, money_after, measure, ratio, ordinal_number, version, digit_groups,
    year_number, number,
    decimal_with_letters,
)  # fmt: skip
