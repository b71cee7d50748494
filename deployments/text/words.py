"""A word to be said, and the pauses between words."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.text.phones import Phones

NO_PAUSE, COMMA, SEMICOLON, DASH, ELLIPSIS = range(5)
CLAUSE = {
    ",": COMMA, ";": SEMICOLON, ":": SEMICOLON, "(": COMMA, ")": COMMA, "[": COMMA, "]": COMMA, "{": COMMA, "}": COMMA,
    "—": DASH, "…": ELLIPSIS, "•": DASH, "!": SEMICOLON, "?": SEMICOLON, "|": COMMA,
}  # fmt: skip


@dataclass(slots=True)
class Word:
    """Lower case, or a capital for a letter's name. `start`, `end`: where the text has it.

    `pause` follows the word: none, or that of the named sign. Colons pause like semicolons, brackets like commas.
    """

    text: str
    start: int
    end: int
    pause: int = NO_PAUSE
    phones: Phones | None = None  # of a Chinese word, which has been read already
