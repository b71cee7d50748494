"""The frontend of the small family: text to words, words to phones, phones to segments."""

from __future__ import annotations

from functools import cache

from deployments.families.small.text.frontend import SmallFrontend

__all__ = ["SmallFrontend", "phones_of", "spoken"]


@cache
def _frontend() -> SmallFrontend:
    return SmallFrontend()


def phones_of(text: str) -> list[str]:
    """The phones of `text` (for debugging and tests). Raises InvalidInput as `segments` does."""
    return _frontend().phones_of(text)


def spoken(text: str) -> str:
    """`text` as the words that are said, in lower case (for judging what was understood)."""
    return _frontend().spoken(text)
