"""Web addresses, e-mail addresses, user names and telephone numbers."""

from __future__ import annotations

import re

from deployments.text.english.numbers import digits
from deployments.text.mandarin.pinyin import HANZI
from deployments.text.rules import Match, Rule, rule

_DOMAINS = (
    "com|org|net|edu|gov|io|ai|co|uk|de|fr|eu|us|ca|au|jp|cn|info|dev|app|me|tv|html|htm|pdf|txt|py|js|md"
)
ADDRESS = re.compile(
    rf"(?:https?://|www\.)[^\s<>\"{HANZI}]{{1,2000}}|[\w.+-]{{1,100}}@[\w-]{{1,100}}(?:\.[\w-]{{1,60}}){{1,6}}"
    rf"|[A-Za-z0-9][\w-]{{0,60}}(?:\.[\w-]{{1,60}}){{0,5}}\.(?:{_DOMAINS})(?:/[^\s<>\"{HANZI}]{{0,2000}})?(?![\w@])",
    re.ASCII,
)
_SIGNS = {
    ".": "dot", "/": "slash", "@": "at", "-": "dash", "_": "underscore", ":": "colon", "?": "question mark",
    "=": "equals", "&": "and", "#": "hash", "%": "percent", "+": "plus", "~": "tilde",
}  # fmt: skip
_PIECE = re.compile(r"[A-Za-z]+|\d+|.", re.DOTALL)


def address_pieces(text: str) -> list[str]:
    """Splits an address into spoken pieces: words and numbers unchanged, signs by name, without "https://"."""
    text = re.sub(r"^https?://", "", text).rstrip("/")
    pieces: list[str] = _PIECE.findall(text)
    return [_SIGNS.get(piece, piece) for piece in pieces if piece.isalnum() or piece in _SIGNS]


@rule(
    r"(\+?\d{1,3}[ .-])?(?:\((\d{3})\)[ ]?|(\d{3})[ .-])(\d{3})[ .-](\d{4})(?![\d-]|\.\d)".replace(
        " ", r"\x20"
    ),
)
def phone_number(m: Match) -> str | None:
    """(555) 123-4567, +1 555 123 4567"""
    return " , ".join(digits(part) for part in m.groups() if part)


@rule(r"(\d{3})-(\d{4})(?![\d-])(?!\.\d)")
def local_number(m: Match) -> str | None:
    """555-1234"""
    return f"{digits(m[1])} , {digits(m[2])}"


@rule(r"\+(\d{1,3}(?:[\x20-]\d{2,5}){2,5})(?!\d)|\+(\d{7,15})(?!\d)")
def international_number(m: Match) -> str | None:
    """+44 20 7946 0958"""
    if m[2]:
        return "plus " + digits(m[2], group=3)
    return "plus " + " , ".join(digits(part) for part in re.split(r"[ -]", m[1]))


PHONE_RULES: tuple[Rule, ...] = (international_number, phone_number, local_number)
