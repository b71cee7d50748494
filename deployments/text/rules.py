"""What a rule of the normaliser is: a pattern that is tried at one place, and how to say what it matched.

Spoken strings are words in lower case; a single capital is that letter's name; "," stands for a short pause.
Every repetition in a pattern is bounded, so that a scan stays linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

Match = re.Match[str]


@dataclass(frozen=True, slots=True)
class Rule:
    """`say` returns None where the match turns out not to be meant; then the next rule is tried."""

    pattern: re.Pattern[str]
    say: Callable[[Match], str | None]


def rule(pattern: str, flags: int = 0) -> Callable[[Callable[[Match], str | None]], Rule]:
    """Makes a Rule of the decorated function. Blanks in `pattern` are ignored."""
    return lambda say: Rule(re.compile(pattern, flags | re.VERBOSE), say)


def letters(text: str) -> str:
    """Letter names of `text`; what is no letter is skipped."""
    return " ".join(c for c in text.upper() if "A" <= c <= "Z")
