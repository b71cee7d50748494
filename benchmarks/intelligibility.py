"""The word error rate of every shipped English voice, from text through the engine."""

from __future__ import annotations

import argparse
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks import _common
from serve_app.cli.speaker import Speaker


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--sentences", type=int, default=40)
    parser.add_argument("--temperature", type=float, default=None, help="the family's default if not given")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=Path("benchmarks/results/intelligibility.json"))
    args = parser.parse_args()

    result: dict = {**_common.provenance("benchmarks.intelligibility"), "seed": args.seed, "voices": {}}
    sampling = {} if args.temperature is None else {"temperature": args.temperature}
    with Speaker() as speaker:
        result["temperature"] = sampling.get("temperature", speaker.backend.spec.defaults["temperature"])
        for voice in _common.english_voices(speaker):
            listener = _common.Listener()
            for text in _common.sentences(args.sentences):
                spoken = speaker.say(text, voice, seed=args.seed, controls=sampling)
                listener.hear(text, spoken.waveform, spoken.rate)
            result["voices"][voice] = listener.wer()
    rates = list(result["voices"].values())
    result["best"], result["mean"] = min(rates), sum(rates) / len(rates)
    _common.save(args.out, result)

    table = Table("voice", "WER", title=f"{args.sentences} sentences, temperature {result['temperature']}")
    for name, rate in [*result["voices"].items(), ("mean", result["mean"])]:
        table.add_row(name, f"{rate:.1%}")
    Console().print(table)


if __name__ == "__main__":
    main()
