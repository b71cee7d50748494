"""Web addresses, e-mail addresses and names of files."""

from __future__ import annotations

import re

from deployments.text.mandarin.pinyin import HANZI

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
