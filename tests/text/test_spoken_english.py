"""What a careful reader says for everyday text: spoken_english.tsv has one case a line: category, written, spoken."""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from deployments.families.small.frontend import SmallFrontend

CASES = Path(__file__).with_name("spoken_english.tsv")
SHARE = 0.99


def cases() -> list[tuple[str, str, str]]:
    r"""Line ends are written as \n."""
    lines = [line.split("\t") for line in CASES.read_text("utf-8").splitlines()]
    return [(category, written.replace("\\n", "\n"), spoken) for category, written, spoken in lines]


def results() -> tuple[dict[str, tuple[int, int]], list[str]]:
    """For each category how many are right and how many there are; what is wrong."""
    frontend = SmallFrontend()
    right: dict[str, int] = defaultdict(int)
    count: dict[str, int] = defaultdict(int)
    wrong = []
    for category, written, spoken in cases():
        found = frontend.spoken(written)
        count[category] += 1
        right[category] += found == spoken
        if found != spoken:
            wrong.append(f"{category}: {written!r}\n  expected {spoken}\n  found    {found}")
    return {category: (right[category], count[category]) for category in count}, wrong


def test_everyday_text_is_read_as_a_reader_would() -> None:
    by_category, wrong = results()
    total = sum(count for _, count in by_category.values())
    assert total >= 1000
    assert len(wrong) <= (1 - SHARE) * total, "\n".join(wrong)


if __name__ == "__main__":  # the table of docs/text.md
    shares, failures = results()
    for name, (good, all_of_it) in sorted(shares.items()):
        print(f"| {name} | {all_of_it} | {100 * good / all_of_it:.1f} % |")
    print("\n".join(failures))
