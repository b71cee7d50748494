"""A book's own pronunciations: words, and respellings that make the model say them correctly."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from deployments.contract.errors import InvalidInput, printable
from deployments.text.rewritten import Edit, Rewritten
from serve_app.books.lines import is_cjk

PARAM = "pronunciations"
MOST = 2_000  # words
_WORD, _RESPELLING = 100, 200  # characters


class Pronunciations:
    """Replaces whole words. If several match at one place, the longest wins.

    A word in lower case matches any case ("gif" for GIF, Gif), any other only itself ("US"). Chinese
    words need no blanks around them.
    """

    def __init__(self, respellings: Mapping[str, str]) -> None:
        """Raises InvalidInput (param "pronunciations")."""
        if len(respellings) > MOST:
            raise _refused(f"it has {len(respellings)} words (allowed: up to {MOST})")
        self._words: dict[str, str] = {}
        lengths: dict[str, set[int]] = {}
        for given, respelling in respellings.items():
            word = " ".join(given.split())
            if not word or len(word) > _WORD or not any(map(str.isalnum, word)):
                raise _refused(f"{printable(given)!r} is not a word of 1 to {_WORD} characters")
            if not isinstance(respelling, str) or not respelling.strip() or len(respelling) > _RESPELLING:
                raise _refused(
                    f"the respelling of {printable(word)!r} must have 1 to {_RESPELLING} characters"
                )
            self._words[word] = " ".join(respelling.split())
            lengths.setdefault(word[0].lower(), set()).add(len(word))
        self._lengths = {first: sorted(each, reverse=True) for first, each in lengths.items()}

    def __bool__(self) -> bool:
        return bool(self._words)

    def respelled(self, text: str) -> Rewritten:
        """What is to be said; `origin` of the result maps back to `text`. Linear in its length."""
        return Rewritten(text).edited(self._edits(text))

    def _edits(self, text: str) -> Iterator[Edit]:
        at = 0
        while at < len(text):
            found = self._at(text, at)
            if found is not None:
                yield found
                at = found[1]
            else:
                at += 1

    def _at(self, text: str, at: int) -> Edit | None:
        for size in self._lengths.get(text[at].lower(), ()):
            word = text[at : at + size]
            respelling = self._words.get(word) or self._words.get(word.lower())
            if respelling is not None and len(word) == size and _is_whole(text, at, at + size):
                return at, at + size, respelling
        return None


def _is_whole(text: str, begin: int, end: int) -> bool:
    """Whether the match does not continue a word at either end."""
    return not (_joins(text, begin - 1, begin) or _joins(text, end - 1, end))


def _joins(text: str, left: int, right: int) -> bool:
    if left < 0 or right >= len(text) or is_cjk(text[left]) or is_cjk(text[right]):
        return False
    return text[left].isalnum() and text[right].isalnum()


def span_in(text: Rewritten, span: tuple[int, int]) -> tuple[int, int]:
    """A span of the respelled text in the original one. A place within a respelling becomes one within its word."""
    begin, end = text.origin(span[0]), text.origin(span[1])
    return begin, max(begin, end)


def _refused(reason: str) -> InvalidInput:
    return InvalidInput(f"Invalid '{PARAM}': {reason}.", param=PARAM)
