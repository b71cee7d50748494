"""Short, medium and long texts: the service against one request at a time, unstreamed and eager.

`as before` is the straightforward method: no graphs, one sequence in the GPT, one sentence after another, all codes of
a sentence before one vocoder call, one request after another. `chorale` runs several segments at once, vocodes chunks
while codes are still being sampled, and batches requests. Both run in this process, without Ray, with the same weights,
device and number of threads, and alternate within one run. Ratios are ratios of real-time factors.
"""

from __future__ import annotations

import argparse
import asyncio
import importlib.util
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile
import yaml
from rich.console import Console
from rich.table import Table

from benchmarks import _common, _plot, _statistics, _whole
from serve_app.cli.speaker import Said, Speaker
from serve_app.config.settings import Settings
from serve_app.synthesis.speech import Speech

TEXTS = {
    "short": (
        "The ferry leaves at noon, and the tide will not wait for anyone. Bring a warm coat and something to eat."
    ),
    "medium": (
        "Nobody in the village could say when the old mill had stopped turning. Some blamed the dry summer, others the "
        "new road. In the evenings the children still sat on the wall beside it, and listened to the water running "
        "under the broken wheel."
    ),
    "long": (
        "My grandmother kept bees behind the kitchen garden, and every spring she told them the news of the family. "
        "Who had married, who had moved away, who was born. She said that bees are easily offended and must not hear "
        "such things from strangers. When she died, my uncle walked from hive to hive with his hat in his hands. The "
        "bees were quiet for a moment, and then they went back to work in the apple trees."
    ),
}
BEFORE, CHORALE = "as before", "chorale"
BAR, THROUGHPUT_BAR = 2.5, 3.75  # required speed-ups: for each length, and for concurrent requests


Speak = Callable[[str, int], Awaitable[Said]]  # (text, seed)


def streamed(speaker: Speaker, voice: str) -> Speak:
    spec = speaker.backend.spec

    async def speak(text: str, seed: int) -> Said:
        began, first_s, pieces = time.perf_counter(), 0.0, []
        speech = Speech(text, await speaker.prompt_of(voice), spec.sampling(seed=seed))
        async for piece in speaker.model.synthesizer.stream(speech).sound:
            first_s = first_s or time.perf_counter() - began
            pieces.append(piece)
        total_s = time.perf_counter() - began
        return Said(np.concatenate(pieces), spec.sample_rate, first_s, total_s, voice, seed)

    return speak


def whole(speaker: Speaker, voice: str) -> Speak:
    async def speak(text: str, seed: int) -> Said:
        return await _whole.whole(speaker, text, voice, speaker.backend.spec.sampling(seed=seed))

    return speak


@dataclass(frozen=True, slots=True)
class Turn:
    """One run of a method over one or several texts: its duration, and the speech."""

    wall_s: float
    spoken: list[Said]

    @property
    def rtf(self) -> float:
        return self.wall_s / sum(spoken.seconds for spoken in self.spoken)


async def one_after_another(speak: Speak, texts: Sequence[str], seed: int) -> Turn:
    began = time.perf_counter()
    spoken = [await speak(text, seed + index) for index, text in enumerate(texts)]
    return Turn(time.perf_counter() - began, spoken)


async def at_once(speak: Speak, texts: Sequence[str], seed: int) -> Turn:
    began = time.perf_counter()
    spoken = await asyncio.gather(*(speak(text, seed + index) for index, text in enumerate(texts)))
    return Turn(time.perf_counter() - began, list(spoken))


@dataclass(frozen=True, slots=True)
class Way:
    """A method. together: how it speaks several texts."""

    speaker: Speaker
    speak: Speak
    together: Callable[[Speak, Sequence[str], int], Coroutine[Any, Any, Turn]]

    def turn(self, texts: Sequence[str], seed: int) -> Turn:
        return self.speaker.run(self.together(self.speak, texts, seed))


def measure(
    ways: dict[str, Way], options: argparse.Namespace, console: Console
) -> dict[str, dict[str, list[Turn]]]:
    """turns[row][way]: one turn per repetition. The methods alternate in going first."""
    many = [TEXTS[options.lengths[n % len(options.lengths)]] for n in range(options.requests)]
    ways[BEFORE].turn([TEXTS[row] for row in options.lengths], seed=1)  # every shape has been seen once
    ways[CHORALE].turn(many, seed=1)
    turns: dict[str, dict[str, list[Turn]]] = {}
    for repetition in range(options.repeat):
        order = list(ways) if repetition % 2 == 0 else list(reversed(ways))
        seed = 1000 * (repetition + options.seed)
        for row in [*options.lengths, throughput_row(options)]:
            for name in order:
                turn = ways[name].turn([TEXTS[row]] if row in TEXTS else many, seed)
                turns.setdefault(row, {}).setdefault(name, []).append(turn)
            console.print(f"{repetition + 1} of {options.repeat}: {row}          ", end="\r")
    return turns


def throughput_row(options: argparse.Namespace) -> str:
    return f"{options.requests} at once"


def figures(row: str, turns: dict[str, list[Turn]], options: argparse.Namespace) -> dict[str, Any]:
    """The ratio of each repetition, their median and range, and absolute figures."""
    pairs = zip(turns[BEFORE], turns[CHORALE], strict=True)
    ratios = [before.rtf / after.rtf for before, after in pairs]
    bar = BAR if row in TEXTS else THROUGHPUT_BAR
    found: dict[str, Any] = {"row": row, "ratios": [round(ratio, 3) for ratio in ratios], "bar": bar}
    found |= {"ratio": round(float(np.median(ratios)), 3), "met": float(np.median(ratios)) >= bar}
    if row in TEXTS:
        found["characters"] = len(TEXTS[row])
    for name in turns:
        spoken = [one for turn in turns[name] for one in turn.spoken]
        found[name] = {
            "wall_s": _statistics.percentiles([turn.wall_s for turn in turns[name]])["p50"],
            "audio_s": round(sum(one.seconds for one in spoken) / len(turns[name]), 2),
            "rtf": round(float(np.median([turn.rtf for turn in turns[name]])), 4),
            "requests_per_s": round(
                float(np.median([len(turn.spoken) / turn.wall_s for turn in turns[name]])), 4
            ),
            "first_s": _statistics.percentiles([one.first_s for one in spoken])["p50"],
        }
    return found


def judged(turns: dict[str, dict[str, list[Turn]]], voice: str) -> dict[str, dict[str, Any]] | None:
    """Word error rate and similarity of each method's speech; None if the recogniser is not installed."""
    if not all(importlib.util.find_spec(name) for name in ("pocketsphinx", "jiwer", "httpx")):
        return None
    from benchmarks import _judge

    judge, found = _judge.Judge(), {}
    for row, text in TEXTS.items():
        for name, ran in turns.get(row, {}).items():
            spoken = [one for turn in ran for one in turn.spoken]
            verdicts = [judge.judge(text, voice, one.waveform, one.rate) for one in spoken]
            found.setdefault(row, {})[name] = _judge.quality(verdicts)
    return found


def table(rows: Sequence[dict[str, Any]], quality: dict[str, dict[str, Any]] | None) -> Table:
    shown = Table(box=None, pad_edge=False)
    names = "|characters|as before, s|chorale, s|times faster (range)|bar|met|first sound, s|RTF|WER"
    for name in names.split("|"):
        shown.add_column(name, justify="right" if name else "left")
    for row in rows:
        before, after = row[BEFORE], row[CHORALE]
        heard = quality and quality.get(row["row"])
        shown.add_row(
            row["row"],
            str(row.get("characters", "")),
            f"{before['wall_s']:.2f}",
            f"{after['wall_s']:.2f}",
            f"{row['ratio']:.2f} ({min(row['ratios']):.2f} to {max(row['ratios']):.2f})",
            f"{row['bar']}",
            "yes" if row["met"] else "NO",
            f"{before['first_s']:.2f} → {after['first_s']:.2f}",
            f"{before['rtf']:.3f} → {after['rtf']:.3f}",
            " → ".join(f"{heard[name]['wer']['value']:.1%}" for name in (BEFORE, CHORALE)) if heard else "",
        )
    return shown


def plot(out: Path, rows: Sequence[dict[str, Any]], device: str) -> None:
    with _plot.panels(out, f"{CHORALE} against one at a time, whole, eager; {device}", "times faster") as (
        axis,
    ):
        ratios = [row["ratio"] for row in rows]
        below = [row["ratio"] - min(row["ratios"]) for row in rows]
        above = [max(row["ratios"]) - row["ratio"] for row in rows]
        axis.bar([row["row"] for row in rows], ratios, yerr=(below, above), capsize=4)
        for index, row in enumerate(rows):
            axis.hlines(row["bar"], index - 0.4, index + 0.4, color="black", linestyle="--", linewidth=1)


def keep(folder: Path, turns: dict[str, dict[str, list[Turn]]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for row in TEXTS:
        for name, ran in turns.get(row, {}).items():
            first = ran[0].spoken[0]
            soundfile.write(folder / f"{row}.{name.replace(' ', '_')}.wav", first.waveform, first.rate)


def main() -> None:
    parser = _common.arguments("documents", __doc__)
    parser.add_argument("--config", type=Path, default=_common.ROOT / "configs" / "default.yaml")
    parser.add_argument(
        "--threads", type=int, default=psutil.cpu_count(logical=False) or 1, help="of both methods"
    )
    parser.add_argument("--slots", type=int, default=8, help="of the GPT (8)")
    parser.add_argument("--requests", type=int, default=8, help="at once (8)")
    parser.add_argument(
        "--repeat", type=int, default=1, help="repetitions; the median counts; about two minutes each (1)"
    )
    parser.add_argument("--lengths", nargs="+", choices=list(TEXTS), default=list(TEXTS))
    parser.add_argument("--voice", default="clara")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="a folder for the sound of both methods")
    options = parser.parse_args()

    console, origin = Console(width=160), _common.origin("documents")
    args = yaml.safe_load(options.config.read_text("utf-8"))["applications"][0]["args"]  # without Ray
    settings = Settings.from_args(args | {"device": {**args.get("device", {}), "threads": options.threads}})
    eager = {"optimize": False, "use_vocoder_optimization": False}
    alone = settings.ingress.model_copy(update={"window": 1})
    with (
        Speaker(settings.model_copy(update={**eager, "ingress": alone})) as before,
        Speaker(settings, slots=options.slots) as after,
    ):
        ways = {
            BEFORE: Way(before, whole(before, options.voice), one_after_another),
            CHORALE: Way(after, streamed(after, options.voice), at_once),
        }
        turns = measure(ways, options, console)
        status = after.run(after.backend.status())

    rows = [figures(row, found, options) for row, found in turns.items()]
    quality = judged(turns, options.voice)
    console.print(table(rows, quality))
    if quality is None:
        console.print("No word error rate: pocketsphinx, jiwer and httpx are not installed (see --keep).")
    if options.keep:
        keep(options.keep, turns)
    names = ("threads", "slots", "requests", "repeat", "voice", "lengths")
    result = {
        **origin,
        "device": status["device"],
        "family": settings.family.name,
        "config": options.config.name,
        "settings": {name: getattr(options, name) for name in names},
        "rows": rows,
        "quality": quality,
    }
    _common.finish(options.out, result, console)
    plot(options.out, rows, status["device"]["name"])


if __name__ == "__main__":
    main()
