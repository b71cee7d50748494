"""Text to segments on one core: megabytes of text a second of processor time, and whether it is linear in length.

The texts are the test sentences as prose, and the written halves of the corpora of everyday English and Mandarin, which
are dense with numbers, units, addresses and markup. The baseline is sixteen times less text: a ratio of 1 is linear.
"""

from __future__ import annotations

import random
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import _common
from deployments.families.small.frontend import SmallFrontend

CORPORA = Path(__file__).resolve().parent.parent / "tests" / "text"


def prose(size: int) -> str:
    """Paragraphs of up to eight test sentences in random order, `size` characters in all."""
    chance, sentences, text, length = random.Random(1), _common.sentences(1000), [], 0
    while length < size:
        paragraph = " ".join(chance.choices(sentences, k=chance.randint(3, 8))) + "\n\n"
        text.append(paragraph)
        length += len(paragraph)
    return "".join(text)[:size]


def dense(size: int, corpus: str = "spoken_english.tsv") -> str:
    """A corpus of everyday text, one case per line."""
    lines = (CORPORA / corpus).read_text("utf-8").splitlines()
    written = [line.split("\t")[1].replace("\\n", "\n") for line in lines]
    text = "\n".join(written) + "\n"
    return (text * (size // len(text) + 1))[:size]


def mandarin(size: int) -> str:
    return dense(size // 2, "spoken_mandarin.tsv")  # a character has two bytes and more


def seconds(frontend: SmallFrontend, text: str, repeat: int) -> float:
    """Processor time of the fastest of `repeat` runs."""
    times = []
    for _ in range(repeat):
        began = time.process_time()
        frontend.segments(text)
        times.append(time.process_time() - began)
    return min(times)


def main() -> None:
    parser = _common.arguments("text", __doc__)
    parser.add_argument("--megabytes", type=float, default=1.0, help="size of the longer text")
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    result, console = _common.origin("text"), Console()
    frontend = SmallFrontend()
    frontend.segments(prose(20_000) + dense(20_000) + mandarin(20_000))  # loads the word lists
    size = int(args.megabytes * 1e6)
    table = Table("text", "MB/s", "against a sixteenth", box=None)
    for name, make in (("prose", prose), ("dense", dense), ("mandarin", mandarin)):
        long, short = make(size), make(size // 16)
        speed = len(long.encode()) / 1e6 / seconds(frontend, long, args.repeat)
        baseline = len(short.encode()) / 1e6 / seconds(frontend, short, args.repeat)
        result[name] = {
            "megabytes_per_second": round(speed, 3),
            "of_a_sixteenth": round(baseline, 3),
            "ratio": round(speed / baseline, 3),
        }
        table.add_row(name, f"{speed:.2f}", f"{speed / baseline:.2f}")
    console.print(table)
    _common.finish(args.out, result, console)


if __name__ == "__main__":
    main()
