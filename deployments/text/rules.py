"""Rules of the normaliser. A rule is a pattern that is tried at one position, and a function that says the match.

Spoken strings are words in lower case; a single capital is that letter's name; "," is a short pause. Every repetition
in a pattern is bounded, so that the scan is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

Match = re.Match[str]


@dataclass(frozen=True, slots=True)
class Rule:
    """`say` returns None to reject a match; then the next rule is tried."""

    pattern: re.Pattern[str]
    say: Callable[[Match], str | None]


def rule(pattern: str, flags: int = 0) -> Callable[[Callable[[Match], str | None]], Rule]:
    """Turns the decorated function into a Rule. Whitespace in `pattern` is ignored."""
    return lambda say: Rule(re.compile(pattern, flags | re.VERBOSE), say)


def any_of(words: Iterable[str]) -> str:
    """A pattern of the words as a tree, which is much faster than a row of hundreds. The longest one matches first.

    A blank in a word stands for any white space.
    """
    tree: dict[str, Any] = {}
    for word in words:
        node = tree
        for char in word:
            node = node.setdefault(char, {})
        node[""] = {}
    return _branches(tree)


def _branches(tree: dict[str, Any]) -> str:
    """tree: what may follow, by its first character; the empty one is the end of a word."""
    longer = [
        (r"\s" if char == " " else re.escape(char)) + _branches(below) for char, below in tree.items() if char
    ]
    if not longer:
        return ""
    return f"(?:{'|'.join(longer)}){'?' if '' in tree else ''}"


def letters(text: str) -> str:
    """The letter names of `text`. Other characters are skipped."""
    return " ".join(c for c in text.upper() if "A" <= c <= "Z")
