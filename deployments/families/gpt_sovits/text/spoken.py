"""What is said of a piece of text: phones, run by run."""

from dataclasses import dataclass

from deployments.families.gpt_sovits.text.languages import Language

MARKS = "!?…,.-"  # the marks that have a symbol


@dataclass(frozen=True, slots=True)
class Spoken:
    """A run in one language. text: as it is read aloud; sizes: in Chinese, how many phones each character has.

    letters: of each phone, how many letters and digits of the piece stand before its word or character; -1 for a mark.
    Empty if not known.
    """

    language: Language
    text: str
    phones: tuple[str, ...]
    sizes: tuple[int, ...] | None = None
    letters: tuple[int, ...] = ()
