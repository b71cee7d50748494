"""Rules of the normaliser. A rule is a pattern tried at one position, and a function that returns its words.

Spoken strings are words in lower case; a single capital is that letter's name; "," is a short pause. Every repetition
in a pattern is bounded, so that the scan is linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

Match = re.Match[str]


@dataclass(frozen=True, slots=True)
class Rule:
    """`say` returns None to reject a match; then the next rule is tried.

    when: what the `shape` of a number must match for the rule to be worth trying; None for any.
    """

    pattern: re.Pattern[str]
    say: Callable[[Match], str | None]
    when: re.Pattern[str] | None = None


def rule(
    pattern: str, flags: int = 0, *, when: str | None = None
) -> Callable[[Callable[[Match], str | None]], Rule]:
    """Turns the decorated function into a Rule. Whitespace in `pattern` is ignored."""
    compiled = re.compile(pattern, flags | re.VERBOSE)
    return lambda say: Rule(compiled, say, re.compile(when) if when else None)


_LONGEST = 24  # characters of a number whose shape is used
_RUN = re.compile(rf"[0-9.,]{{0,{_LONGEST}}}")
_NINES = str.maketrans("12345678", "99999999")


def shape(text: str, at: int) -> str:
    """The shape of the number at `at`: its digits as 9 (zeros stay), points and commas, and two more characters.

    Empty for a long number, which may have any shape.
    """
    run = _RUN.match(text, at)
    assert run
    end = run.end()
    return text[at : end + 2].translate(_NINES) if end - at < _LONGEST else ""


def worth_trying(rules: tuple[Rule, ...]) -> Callable[[str], tuple[Rule, ...]]:
    """For a shape, those of the rules that may match. There are few shapes, so the results are cached."""

    @lru_cache(maxsize=8192)
    def of(shape: str) -> tuple[Rule, ...]:
        return tuple(rule for rule in rules if not shape or rule.when is None or rule.when.match(shape))

    return of


def any_of(words: Iterable[str]) -> str:
    """A pattern of the words as a tree, which is much faster than a row of hundreds. The longest one matches first.

    A blank in a word matches any white space.
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


def mentions(words: Iterable[str]) -> Callable[[str], bool]:
    """Returns a test for words in a text that begin with one of `words`, in any case.

    Rules that need a word near a number call it first. The results for recent texts are cached, because a text may
    have many numbers.
    """
    pattern = re.compile(rf"\b{any_of(words)}")

    @lru_cache(maxsize=16)
    def has(text: str) -> bool:
        return bool(pattern.search(text.lower()))

    return has


def letters(text: str) -> str:
    """The letter names of `text`. Other characters are skipped."""
    return " ".join(c for c in text.upper() if "A" <= c <= "Z")
