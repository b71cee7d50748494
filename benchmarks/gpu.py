"""One command for a machine with a GPU: the tests marked `gpu`, speed against eager and fp32, many voices, memory.

    make gpu PYTHON=python3                 # any Python 3.11 or 3.12 with torch; nothing is installed
    python -m benchmarks.gpu --cpu          # the same steps, small, without a GPU

Each step runs in its own process with its own time limit, all of them within --minutes. It needs numpy, psutil,
pydantic, pyyaml, rich, safetensors, soxr, torch and torchaudio, and for IndexTTS protobuf and sentencepiece; neither
Ray nor HTTP. A step with missing packages fails and names them. IndexTTS, GPT-SoVITS (v2Pro, and the decoder of v4) and
VoxCPM (1.5) get random weights of the published size in a temporary folder (6 GB in all) or, if that fails, the golden
sets' small ones.
"""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import _common, _gpu_checkpoints
from benchmarks._steps import OK, Step, run_all

FAMILIES = ("small", "indextts", "gpt_sovits", "voxcpm")
KINDS = ("decode", "listeners", "cfm", "voices", "vocoder", "half")  # the most wanted first
STEPS = ("card", "tests", "checkpoint", *KINDS)
OF = {"listeners": ("gpt_sovits", "voxcpm"), "cfm": ("gpt_sovits",)}  # steps of some families only
RESERVE_S = 15.0  # of --minutes, for everything outside the steps

ON_A_CARD: dict[str, dict[str, Any]] = {
    "decode": {"batches": [1, 8, 32], "steps": 40, "rounds": 3},
    "listeners": {"listeners": [1, 2, 4, 8, 16, 32, 64], "rounds": 1, "tokens": 30, "most": 60},
    "cfm": {"lengths": None, "requests": 8, "repeat": 3, "steps": 8},
    "voices": {"references": 50, "syntheses": 200, "callers": 8, "tokens": 30, "most": 120, "slots": 8},
    "vocoder": {"batches": [1, 8], "frames": [16, 32, 64, 96, 128], "rounds": 5},
    "half": {"batches": [1, 8, 32], "steps": 40, "rounds": 3, "requests": 8},
}
ON_A_CPU: dict[str, dict[str, Any]] = {
    "decode": {"batches": [1, 2], "steps": 3, "rounds": 1},
    "listeners": {"listeners": [1, 2], "rounds": 1, "tokens": 6, "most": 10},
    "cfm": {"lengths": {"short": 5, "long": 8}, "requests": 2, "repeat": 1, "steps": 4},
    "voices": {"references": 4, "syntheses": 8, "callers": 8, "tokens": 6, "most": 24, "slots": 4},
    "vocoder": {"batches": [1, 2], "frames": [16], "rounds": 1},
    "half": {"batches": [1, 2], "steps": 3, "rounds": 1, "requests": 1},
}
LIMITS = {
    "card": 60,
    "tests": 120,
    "checkpoint": 90,
    "decode": 75,
    "listeners": 120,
    "cfm": 90,
    "voices": 110,
    "vocoder": 75,
    "half": 75,
}
FUNCTIONS = {
    "card": "benchmarks._gpu_measure:card",
    "tests": "benchmarks._gpu_tests:tests",
    "checkpoint": "benchmarks._gpu_measure:checkpoint",
    "decode": "benchmarks._gpu_measure:decode",
    "listeners": "benchmarks._gpu_listeners:listeners",
    "cfm": "benchmarks._gpu_cfm:cfm",
    "voices": "benchmarks._gpu_voices:voices",
    "vocoder": "benchmarks._gpu_vocoder:vocoder",
    "half": "benchmarks._gpu_measure:half",
}


class Bench:
    """Runs the selected steps, prints them, and saves the results after each."""

    def __init__(self, options: argparse.Namespace, console: Console) -> None:
        self.options, self.console = options, console
        self.until = time.monotonic() + 60 * options.minutes - RESERVE_S
        self.device = "cpu" if options.cpu else "auto"
        self.result: dict[str, Any] = {**_common.origin("gpu"), "notes": [], "steps": []}
        self.out: Path | None = options.out

    def run(self) -> dict[str, Any]:
        found = self.step("card", device=self.device) or {}
        on_a_card = found.get("kind") == "cuda"
        name = found.get("name", "unknown") if on_a_card else found.get("kind", "unknown")
        self.out = self.out or Path("benchmarks/results") / f"gpu-{slug(name)}.json"
        if not on_a_card:
            self.note("No CUDA GPU is used: small sizes, eager code; the figures say nothing about a GPU.")
        self.step("tests")
        with tempfile.TemporaryDirectory() as temporary:
            families = self.options.families
            folders = {family: self.folder(family, Path(temporary), on_a_card) for family in families}
            for kind in KINDS:
                sizes = (ON_A_CARD if on_a_card else ON_A_CPU)[kind]
                for family in (family for family in families if family in OF.get(kind, FAMILIES)):
                    own = {"copy_gb_per_s": found.get("copy_gb_per_s")} if kind == "decode" else {}
                    where = {"folder": folders[family], "device": self.device}
                    self.step(kind, family, family=family, **where, **sizes, **own)
        return self.result

    def folder(self, family: str, temporary: Path, on_a_card: bool) -> str | None:
        """The family's checkpoint: of the published size on a card, else the golden set's; None if it is shipped."""
        if family == "small":
            return None
        folder = temporary / family
        if on_a_card and self.step("checkpoint", family, family=family, folder=str(folder)) is not None:
            return str(folder)
        return str(_gpu_checkpoints.golden(family, temporary / f"{family}-golden"))

    def step(self, kind: str, of: str = "", **arguments: Any) -> Any:
        """The step's result; None if it failed or was not selected."""
        if kind not in self.options.only and kind != "card":
            return None
        step = Step(f"{kind} {of}".strip(), FUNCTIONS[kind], LIMITS[kind], arguments)
        (row,) = run_all([step], self.until)
        self.result["steps"].append(row)
        self.result["ok"] = all(row["status"] == OK for row in self.result["steps"])
        if self.out is not None:
            _common.save(self.out, self.result)
        show(row, self.console)
        return row.get("result")

    def note(self, text: str) -> None:
        self.result["notes"].append(text)
        self.console.print(f"  {text}")


def slug(name: str) -> str:
    """NVIDIA H100 80GB HBM3 -> nvidia-h100-80gb-hbm3"""
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-") or "unknown"


def show(row: dict[str, Any], console: Console) -> None:
    console.print(f"{row['name']}: {row['status']} in {row['seconds']} s", highlight=False)
    if "error" in row:
        console.print(f"  {row['error']}", markup=False, highlight=False)
    found = row.get("result", {})
    for key, value in found.items():
        if key == "rows":
            for line in value:
                console.print(
                    "  " + ", ".join(f"{k} {v}" for k, v in line.items()), markup=False, highlight=False
                )
        elif key not in ("checks", "device", "status", "reasons"):
            console.print(f"  {key}: {value}", markup=False, highlight=False)


def main() -> None:
    parser = _common.arguments("gpu", __doc__)
    parser.set_defaults(out=None)
    parser.add_argument("--cpu", action="store_true", help="small sizes, without a GPU")
    parser.add_argument("--minutes", type=float, default=9.5, help="limit for all steps together (9.5)")
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=list(FAMILIES))
    parser.add_argument(
        "--only", nargs="+", choices=STEPS, default=list(STEPS), help="steps to run, besides the card"
    )
    options = parser.parse_args()
    console = Console(soft_wrap=True)
    bench = Bench(options, console)
    result = bench.run()
    assert bench.out is not None
    _common.finish(bench.out, result, console)
    sys.exit(not result["ok"])


if __name__ == "__main__":
    main()
