"""What is said of a piece of text: phones, run by run."""

from dataclasses import dataclass

from deployments.families.gpt_sovits.text.languages import Language

MARKS = "!?…,.-"  # the marks that have a symbol


@dataclass(frozen=True, slots=True)
class Spoken:
    """A run in one language. text: as it is read aloud; sizes: in Chinese, how many phones each character has."""

    language: Language
    text: str
    phones: tuple[str, ...]
    sizes: tuple[int, ...] | None = None
