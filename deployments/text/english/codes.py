"""Codes and identifiers, character by character: PINs, orders, flights, rooms, ISBNs, postcodes."""

from __future__ import annotations

import re

from deployments.text.english.nouns import is_counted
from deployments.text.english.numbers import cardinal, digits, identifier, spelled
from deployments.text.english.units import UNIT
from deployments.text.english.vocabulary import SHOUTED, STATES
from deployments.text.rules import Match, Rule, letters, mentions, rule

_FILLER = (
    r"(?:\s?(?:number|numbers|no\.?|nr\.?|num\.?|id|code|is|was|are|reads|of|as|ends?\sin|ending\sin|starting\swith|the"
    r"|your|:|\#|=|\())*"
)
# A code of any length follows.
_ALWAYS = re.compile(
    r"\b(?:pins?|otp|passwords?|passcodes?|password|(?:access|security|door|gate|area|zip|postal|country|dial(?:ling|ing)?|"
    r"verification|confirmation|activation|promo|discount|coupon|voucher|entry|error|sort|swift|product|unlock|alarm|dress)\scodes?|"
    r"(?<!dress\s)codes?|zip|postcodes?|combination|isbn|issn|ean|upc|imei|iban|bic|ssn|vin|vat|sku|serial|tracking|routing|"
    rf"licen[cs]e\splate|registration){_FILLER}\s?[\"']?$",
    re.IGNORECASE,
)
# So is a longer number or a mixture behind these, unless things are counted.
_LONGER = re.compile(
    r"\b(?:order|flights?|rooms?|suites?|apartments?|apt\.?|unit|flat|case|ticket|invoice|account|acct\.?|booking|"
    r"reservation|reference|ref\.?|claim|policy|member|membership|customer|client|employee|student|patient|user|parcel|"
    r"package|shipment|gates?|lockers?|seats?|tables?|train|plates?|build|passport|card|visa|id|"
    rf"identification|docket|permit|batch|lot|part|model|item|channel|frequency|meeting|session|confirmation|record){_FILLER}"
    r"(?-i:\s?[A-Z]{2,3}\s?)?\s?[\"']?$",
    re.IGNORECASE,
)
_ROADS = re.compile(
    r"\b(?:routes?|highways?|interstate|hwy\.?|bus|line|studio|area|port|boeing(?:'s)?|airbus|apollo|form|section|p\.?o\.?\sbox)\s(?:no\.?\s)?$",
    re.IGNORECASE,
)
_may_be_named = mentions(
    "pin otp password passcode code zip postcode combination isbn issn ean upc imei iban bic ssn vin vat sku serial "
    "tracking routing licence license registration access security door gate area postal country dial verification "
    "confirmation activation promo discount coupon voucher entry error sort swift product unlock alarm dress order "
    "flight room suite apartment apt unit flat case ticket invoice account acct booking reservation ref claim policy "
    "member customer client employee student patient user parcel package shipment locker seat table train passport "
    "card visa id docket permit batch lot part model item channel frequency meeting session record route "
    "highway interstate hwy bus line studio port boeing airbus apollo plate build box form section".split()
)  # all the words above
_SERIES = re.compile(r"\b([A-Z]{2,4})\s$")  # RFC 2616, UA 238
_UNIT = re.compile(rf"\s?{UNIT}(?![A-Za-z])")
_FORM = re.compile(r"\s[Ff]orms?\b")  # a 1099 form
_PERCENT = re.compile(r"(?:\.\d{1,3})?\s?(?:%|percent)")
_TIMES = frozenset("AM PM BC AD CE BCE EST PST GMT UTC CET US UK EU UN NATO".split())
_PLACE = re.compile(r"[A-Z]\d{1,2}|\d{1,3}[A-Z]")  # gate C14, seat 22F
_NAMED = re.compile(r"(?:number|numbers|no\.?|nr\.?|\#|id|:)\s?$", re.IGNORECASE)
_STATE = re.compile(
    r"\b(?:A[KLRZ]|C[AOT]|D[CE]|FL|GA|HI|I[ADLN]|K[SY]|LA|M[ADEINOST]|N[CDEHJMVY]|O[HKR]|PA|RI|S[CD]|T[NX]|UT|V[AT]|W[AIVY])"
    rf",?\s$|,\s(?:{'|'.join(STATES)})\.\s$"
)
_WORDED = re.compile(r"[A-Za-z]")
_TOKEN = r"[A-Za-z]{0,12}\d[A-Za-z0-9]{0,40}(?![A-Za-z0-9])"  # of codes in a text # nosec B105


@rule(
    r"[A-Z]{1,2}\d[A-Z0-9]?\x20\d[A-Z]{2}(?![A-Za-z0-9])|[A-Z]\d[A-Z]\x20?\d[A-Z]\d(?![A-Za-z0-9])",
    when=r"[A-Z]",
)
def postcode(m: Match) -> str | None:
    """SW1A 1AA, K1A 0B6"""
    return spelled(m[0])


@rule(r"\d{5}(?:-\d{4})?(?![\dA-Za-z,]|\.\d)", when=r"\d{5}(?![\dA-Za-z,])")
def zip_code(m: Match) -> str | None:
    """IL 62704"""
    return spelled(m[0]) if _STATE.search(m.string, max(0, m.start() - 9), m.start()) else None


@rule(rf"{_TOKEN}(?:[-/\x20](?=[A-Z0-9]*\d){_TOKEN}){{0,6}}")
def code(m: Match) -> str | None:
    """What a word before it calls a code."""
    text, start = m.string, m.start()
    before = text[max(0, start - 56) : start]
    if not before or before[-1].isalnum() or not _WORDED.search(before, len(before) - 12):
        return None
    token = m[0]
    if not _may_be_named(text):
        return _series(m, before)
    if _ALWAYS.search(before):
        return None if is_counted(text, m.end()) or _PERCENT.match(text, m.end()) else _code(token)
    if _LONGER.search(before):
        named = bool(_NAMED.search(before))
        plain = re.sub(r"[ -]", "", token).isdecimal()
        ordered = re.search(r"\border\s$", before, re.IGNORECASE)  # the verb, if the number is short
        if plain and (
            len(token) < (4 if ordered else 3) or is_counted(text, m.end()) or _measured(text, m.end())
        ):
            return None
        if not plain and not (any(map(str.isupper, token)) or named):
            return None
        if _PLACE.fullmatch(token):
            return " ".join(
                identifier(p) if p.isdecimal() else letters(p) for p in re.findall(r"\d+|[A-Z]+", token)
            )
        return _code(token) if plain or " " not in token else None
    if token.isdecimal() and len(token) in (3, 4) and (_ROADS.search(before) or _FORM.match(text, m.end())):
        return identifier(token)
    return _series(m, before)


def _series(m: Match, before: str) -> str | None:
    """RFC 2616: a number of three or four digits behind an acronym, unless things are counted."""
    token, end = m[0], m.end()
    if not token.isdecimal() or len(token) not in (3, 4) or not (found := _SERIES.search(before)):
        return None
    counted = (
        is_counted(m.string, end)
        or _measured(m.string, end)
        or _UNIT.match(m.string, end)
        or m.string[max(0, m.start() - 56) : end + 56].isupper()
    )
    if counted or found[1] in SHOUTED or found[1] in _TIMES:
        return None
    return cardinal(int(token)) if token[1:3] == "00" else identifier(token)


def _code(token: str) -> str:
    if token.isdecimal():
        return digits(token, group=4 if len(token) > 7 else 0)
    return spelled(token.replace(" ", ","))


def _measured(text: str, at: int) -> bool:
    """Whether the number that ends at `at` continues, or has a unit."""
    return bool(re.match(r"[.,:/]\d|\s?(?:%|million|thousand|billion|hundred|square)", text[at : at + 10]))


RULES: tuple[Rule, ...] = (postcode, zip_code, code)
WORD_RULES: tuple[Rule, ...] = (postcode, code)
