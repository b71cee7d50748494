"""What a careful reader says for everyday text: `text/spoken_*.tsv` have one case a line: category, written, spoken.

`python -m tests.spoken` prints the tables of docs/text.md and what is wrong.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

from deployments.families.small.frontend import SmallFrontend

FOLDER = Path(__file__).parent / "text"
LANGUAGES = {"en": "spoken_english.tsv", "zh": "spoken_mandarin.tsv"}


@dataclass
class Result:
    """counts: for each category, how many texts are right and how many there are; wrong: the others, as written."""

    counts: dict[str, tuple[int, int]] = field(default_factory=dict)
    wrong: dict[str, str] = field(default_factory=dict)

    @property
    def texts(self) -> int:
        return sum(count for _, count in self.counts.values())

    def rows(self) -> list[str]:
        """Of a Markdown table."""
        return [
            f"| {name} | {count} | {100 * right / count:.1f} % |"
            for name, (right, count) in self.counts.items()
        ]


def cases(language: str) -> list[tuple[str, str, str]]:
    r"""Line ends are written as \n."""
    lines = (FOLDER / LANGUAGES[language]).read_text("utf-8").splitlines()
    rows = [line.split("\t") for line in lines]
    return [(category, written.replace("\\n", "\n"), spoken) for category, written, spoken in rows]


@cache
def result(language: str) -> Result:
    """Chinese is compared without blanks."""
    frontend, found = SmallFrontend(), Result()
    for category, written, spoken in sorted(cases(language)):
        said = frontend.spoken(written, language)
        is_right = spoken == (said.replace(" ", "") if language == "zh" else said)
        right, count = found.counts.get(category, (0, 0))
        found.counts[category] = right + is_right, count + 1
        if not is_right:
            found.wrong[written] = f"{category}: {written!r}\n  expected {spoken}\n  found    {said}"
    return found


if __name__ == "__main__":
    for language in LANGUAGES:
        print("\n".join([*result(language).rows(), *result(language).wrong.values()]))
