"""Rules of the normaliser. A rule is a pattern that is tried at one position, and a function that says the match.

Spoken strings are words in lower case; a single capital is that letter's name; "," is a short pause. Every repetition
in a pattern is bounded, so that the scan is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

Match = re.Match[str]


@dataclass(frozen=True, slots=True)
class Rule:
    """`say` returns None to reject a match; then the next rule is tried."""

    pattern: re.Pattern[str]
    say: Callable[[Match], str | None]


def rule(pattern: str, flags: int = 0) -> Callable[[Callable[[Match], str | None]], Rule]:
    """Turns the decorated function into a Rule. Whitespace in `pattern` is ignored."""
    return lambda say: Rule(re.compile(pattern, flags | re.VERBOSE), say)


def letters(text: str) -> str:
    """The letter names of `text`. Other characters are skipped."""
    return " ".join(c for c in text.upper() if "A" <= c <= "Z")
