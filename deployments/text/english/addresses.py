"""Web addresses, e-mail addresses and names of files."""

from __future__ import annotations

import re

from deployments.text.english.words import Known, mixed_word, plain_word
from deployments.text.mandarin.pinyin import HANZI

_DOMAINS = (
    "com|org|net|edu|gov|io|ai|co|uk|de|fr|eu|us|ca|au|jp|cn|info|dev|app|me|tv|html|htm|pdf|txt|py|js|md"
)
ADDRESS = re.compile(
    r"(?:~|\.{1,2}|(?<!\w))/\.?[\w-][\w.-]{0,60}(?:/[\w.-]{1,60}){1,12}|~/[\w.][\w.-]{0,60}(?:/[\w.-]{1,60}){0,12}|"
    rf"[A-Za-z]:\\[^\s<>\"|?*{HANZI}]{{1,400}}|(?:https?://|www\.)[^\s<>\"{HANZI}]{{1,2000}}|[\w.+-]{{1,100}}@[\w-]{{1,100}}(?:\.[\w-]{{1,60}}){{1,6}}"
    rf"|[A-Za-z0-9][\w-]{{0,60}}(?:\.[\w-]{{1,60}}){{0,5}}\.(?:{_DOMAINS})(?::\d{{2,5}}(?!\d))?(?:/[^\s<>\"{HANZI}]{{0,2000}})?(?![\w@])",
    re.ASCII,
)
_SIGNS = {
    ".": "dot", "/": "slash", "@": "at", "-": "dash", "_": "underscore", ":": "colon", "?": "question mark",
    "=": "equals", "&": "and", "#": "hash", "%": "percent", "+": "plus", "~": "tilde", "\\": "backslash",
}  # fmt: skip
_NAMED = {"usr": "user", "docx": "doc X", "www": "W W W"}
_PIECE = re.compile(r"[A-Za-z]+|\d+|.", re.DOTALL)


def address(text: str, at: int, known: Known) -> tuple[str, int] | None:
    """What is said for the address at `at`, and where it ends."""
    match = ADDRESS.match(text, at)
    if not match:
        return None
    whole = match[0].rstrip(".,;:!?)]'*_-")
    pieces = _pieces(whole)
    if len(pieces) < 3:
        return None
    return " ".join(_said(piece, known) for piece in pieces), at + len(whole)


def _pieces(text: str) -> list[str]:
    """Splits an address into words and numbers, unchanged, and the names of signs, without "https://"."""
    text = re.sub(r"^https?://", "", text).rstrip("/")
    pieces: list[str] = _PIECE.findall(text)
    return [_SIGNS.get(piece, piece) for piece in pieces if piece.isalnum() or piece in _SIGNS]


def _said(piece: str, known: Known) -> str:
    if piece.isdigit():
        return mixed_word(piece, False, known)
    lower = piece.lower()
    if lower in _NAMED:
        return _NAMED[lower]
    if known(lower) and len(piece) > 1 or lower in ("a", "i"):
        return lower
    return plain_word(piece, False, known)
