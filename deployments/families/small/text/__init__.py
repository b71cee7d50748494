"""The English frontend of the small family: text to words, words to phones, phones to segments."""

from __future__ import annotations

from functools import cache

from deployments.families.small.text.frontend import EnglishFrontend

__all__ = ["EnglishFrontend", "phones_of", "spoken"]


@cache
def _frontend() -> EnglishFrontend:
    return EnglishFrontend()


def phones_of(text: str) -> list[str]:
    """The phones of `text` (for debugging and tests). Raises InvalidInput as `segments` does."""
    return _frontend().phones_of(text)


def spoken(text: str) -> str:
    """`text` as the words that are said, in lower case (for judging what was understood)."""
    return _frontend().spoken(text)
