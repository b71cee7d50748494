"""A text without markup, in characters that the normaliser knows, with only those line ends that pause."""

from deployments.contract.errors import InvalidInput
from deployments.text import lines, markup
from deployments.text.characters import folded, is_speakable, nothing_to_speak
from deployments.text.english import figures, maths
from deployments.text.english.words import Known
from deployments.text.rewritten import Rewritten


def cleaned(text: str, known: Known, hanzi: bool) -> Rewritten:
    """known: returns True for an English word of the lexicon. hanzi: whether Chinese characters are spoken.

    Raises InvalidInput (param "input") for text that is empty, has nothing to speak, or holds another script, control
    characters or a word of over 60 letters.
    """
    if not text.strip():
        raise InvalidInput("input is empty", param="input", code="empty_input")
    plain = folded(markup.plain(Rewritten(text)), hanzi)
    if not is_speakable(plain.text):
        raise nothing_to_speak()
    return figures.english(lines.joined(maths.lowered(plain), known))
