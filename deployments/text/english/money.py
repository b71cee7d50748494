"""Amounts of money: the sign or the code of the currency before or behind the number."""

from __future__ import annotations

import re

from deployments.text.english.numbers import NUMBER, cardinal, decimal
from deployments.text.english.units import PER, PERIODS, POWERS, UNIT, UNITS
from deployments.text.rules import Match, Rule, any_of, rule

_CENT = ("cent", "cents")
_SIGNS = {  # one, many, a hundredth, hundredths
    "$": ("dollar", "dollars", *_CENT), "£": ("pound", "pounds", "penny", "pence"), "€": ("euro", "euros", *_CENT),
    "¥": ("yen", "yen", "sen", "sen"), "₹": ("rupee", "rupees", "paisa", "paise"), "₩": ("won", "won", "jeon", "jeon"),
    "₽": ("ruble", "rubles", "kopek", "kopeks"), "₺": ("lira", "lira", "kurus", "kurus"),
    "₪": ("shekel", "shekels", "agora", "agorot"),
    "₫": ("dong", "dong", "", ""), "฿": ("baht", "baht", "satang", "satang"),
    "₴": ("hryvnia", "hryvnias", "kopek", "kopeks"),
    "₦": ("naira", "naira", "kobo", "kobo"), "₱": ("peso", "pesos", "centavo", "centavos"),
    "₿": ("bitcoin", "bitcoins", "", ""),
    "¢": (*_CENT, "", ""), "R$": ("real", "reais", "centavo", "centavos"),
}  # fmt: skip
_DOLLARS = {
    "US": "", "CA": "Canadian", "C": "Canadian", "AU": "Australian", "A": "Australian", "NZ": "New Zealand",
    "HK": "Hong Kong", "SG": "Singapore", "S": "Singapore", "NT": "New Taiwan", "MX": "Mexican",
}  # fmt: skip
_CODES = {
    "USD": ("U S dollar", "U S dollars", *_CENT), "EUR": _SIGNS["€"], "GBP": _SIGNS["£"], "JPY": _SIGNS["¥"],
    "CHF": ("swiss franc", "swiss francs", "rappen", "rappen"), "CAD": ("canadian dollar", "canadian dollars", *_CENT),
    "AUD": ("australian dollar", "australian dollars", *_CENT),
    "NZD": ("new zealand dollar", "new zealand dollars", *_CENT),
    "HKD": ("hong kong dollar", "hong kong dollars", *_CENT), "SGD": ("singapore dollar", "singapore dollars", *_CENT),
    "CNY": ("yuan", "yuan", "fen", "fen"), "RMB": ("yuan", "yuan", "fen", "fen"), "INR": _SIGNS["₹"],
    "BRL": _SIGNS["R$"],
    "MXN": ("mexican peso", "mexican pesos", "centavo", "centavos"), "RUB": _SIGNS["₽"], "KRW": _SIGNS["₩"],
    "SEK": ("swedish krona", "swedish kronor", "ore", "ore"),
    "NOK": ("norwegian krone", "norwegian kroner", "ore", "ore"),
    "DKK": ("danish krone", "danish kroner", "ore", "ore"), "PLN": ("zloty", "zloty", "grosz", "groszy"),
    "CZK": ("czech crown", "czech crowns", "heller", "hellers"), "HUF": ("forint", "forints", "", ""),
    "TRY": _SIGNS["₺"], "ZAR": ("rand", "rand", *_CENT), "ILS": _SIGNS["₪"], "THB": _SIGNS["฿"],
    "AED": ("dirham", "dirhams", "fils", "fils"), "SAR": ("riyal", "riyals", "halala", "halalas"),
    "PHP": _SIGNS["₱"], "NGN": _SIGNS["₦"], "UAH": _SIGNS["₴"], "VND": _SIGNS["₫"], "BTC": _SIGNS["₿"],
}  # fmt: skip
_NAMES = {  # only beside a number, too
    "Rs": _SIGNS["₹"], "Rs.": _SIGNS["₹"], "kr": ("krone", "kroner", "ore", "ore"),
    "kr.": ("krone", "kroner", "ore", "ore"),
    "zl": _CODES["PLN"], "Fr": ("franc", "francs", "", ""), "Fr.": ("franc", "francs", "", ""),
}  # fmt: skip
CURRENCIES = _SIGNS | _CODES | _NAMES
SIGNS = "$£€¥₹₩₽₺₪₫฿₴₦₱₿¢"
SCALES = {
    "k": "thousand", "m": "million", "mm": "million", "mn": "million", "mio": "million", "b": "billion",
    "bn": "billion",
    "t": "trillion", "tn": "trillion", "tr": "trillion",
}  # fmt: skip
_SCALE_WORDS = any_of(
    "thousand hundred million billion trillion lakh crore K k M m B b T t MM mn mio bn tn".split()
)
_SCALE = rf"(?:\s?({_SCALE_WORDS})(?![A-Za-z0-9]))?"
SIGN = f"[{SIGNS}]"
_CODE = any_of(_CODES)
_NAME = r"(?:Rs\.?|kr\.?|Fr\.?)"
_AMOUNT_STARTS = "".join({word[0] for word in (*SCALES, *_CODES, *_NAMES)}) + "hKMBTRz"  # behind a number
_END = r"(?![\dA-Za-z]|\.\d|,\d)(?:\s?(?:USD|EUR|GBP|JPY)(?![A-Za-z]))?"  # $5 USD


_MODIFIER = re.compile(r"\b[Aa]n?\s$")
_NOUN = re.compile(r"[ -][a-z]{3}")
_RATE = re.compile(r"-(?:an?|per|each)-[a-z]")  # $100-a-month


def _money(amount: str, names: tuple[str, str, str, str], scale: str | None) -> str:
    one, many, hundredth, hundredths = names
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


def _names(country: str | None, sign: str) -> tuple[str, str, str, str]:
    if country == "R":
        return _SIGNS["R$"]
    one, many, *parts = _SIGNS[sign]
    country = _DOLLARS.get(country or "", "").lower()
    return (f"{country} {one}".strip(), f"{country} {many}".strip(), parts[0], parts[1])


@rule(
    rf"((?:US|CA|AU|NZ|HK|SG|NT|MX|A|C|S|R)(?=\$))?({SIGN})\s?({NUMBER})"
    rf"(?:(?:{_SCALE}\s?[-–]\s?|\sto\s)(?:{SIGN})?({NUMBER}))?{_SCALE}(?:/((?:{UNIT}|{PER})[²³]?)(?![A-Za-z]))?{_END}"
)
def money(m: Match) -> str | None:
    """$1,234.56, $3.2 billion, C$5, $5-10, $3/kg"""
    names = _names(m[1], m[2])
    modifies = _MODIFIER.search(m.string, max(0, m.start() - 4), m.start()) and _NOUN.match(m.string, m.end())
    if modifies or _RATE.match(m.string, m.end()):
        names = (names[0], names[0], *names[2:])  # a $5 bill
    spoken = _money(m[5] or m[3], names, m[6])
    if m[5]:
        alone = _money(m[3], names, m[4])
        if m[4]:
            alone = alone.rpartition(" ")[0]
        spoken = f"{decimal(m[3]) if not m[4] and ('.' not in m[3] or m[6]) else alone} to {spoken}"
    return f"{spoken} per {_each(m[7])}" if m[7] else spoken


@rule(rf"({_CODE}|{_NAME})\s?{SIGN}?({NUMBER}){_SCALE}{_END}")
def money_by_code(m: Match) -> str | None:
    """USD 5, CHF 20.50"""
    return _money(m[2], CURRENCIES[m[1]], m[3])


@rule(
    rf"({NUMBER}){_SCALE}\s?(R\$|{SIGN}|(?:{_CODE}|{_NAME}|zl)(?![A-Za-z]))(?!\d)(?:/((?:{UNIT}|{PER})[²³]?)(?![A-Za-z]))?",
    when=rf"[\d.,]*\d\s?[{SIGNS}{_AMOUNT_STARTS}]",
)
def money_behind(m: Match) -> str | None:
    """20 €, 5 EUR, 500 kr"""
    spoken = _money(m[1], CURRENCIES[m[3]], m[2])
    return f"{spoken} per {_each(m[4])}" if m[4] else spoken


@rule(r"(\d{1,2}|\d{1,3}\.\d)(p|c)(?![A-Za-z0-9]|\.\d)", when=r"(?:\d\d?|\d{1,3}\.\d)[pc]")
def pence(m: Match) -> str | None:
    """20p, 99c"""
    one, many = ("penny", "pence") if m[2] == "p" else _CENT
    return f"{decimal(m[1])} {one if m[1] == '1' else many}"


def _each(unit: str) -> str:
    raised = POWERS.get(unit[-1], "")
    unit = " ".join(unit.rstrip("²³").split())
    return raised + (UNITS[unit][0] if unit in UNITS else PERIODS[unit])


SIGN_RULES: tuple[Rule, ...] = (money, money_by_code)
STARTS = SIGNS + "".join({name[0] for name in (*_CODES, *_NAMES, *_DOLLARS)} - {"z"}) + "R"
STARTS_WITH_LETTER = re.compile(rf"(?:(?:{_CODE}|{_NAME})\s?{SIGN}?[\d.]|(?:{'|'.join(_DOLLARS)}|R)\$)")
