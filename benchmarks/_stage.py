"""Shared by the stage benchmarks: arguments, and a run on a device thread whose results are printed, saved, plotted."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks import _common
from deployments.engine.device.thread import DeviceThread


def arguments(name: str, about: str | None) -> argparse.ArgumentParser:
    parser = _common.arguments(name, about)
    parser.add_argument("--family", default="small")
    parser.add_argument("--options", type=json.loads, default={}, help="of the family, as JSON")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--threads", type=int, default=1, help="of the CPU (1)")
    parser.add_argument(
        "--rounds", type=int, default=5, help="the methods alternate; the best round counts (5)"
    )
    parser.add_argument(
        "--sentences", type=int, default=10, help="sentences whose WER is measured; 0: none (10)"
    )
    return parser


def run(
    name: str,
    options: argparse.Namespace,
    measure: Callable[[argparse.Namespace, Console], dict[str, Any]],
    show: Callable[[dict[str, Any], Console], None],
    plot: Callable[[Path, dict[str, Any]], None],
) -> None:
    """`measure` runs on the device thread and returns the results, which `show` prints and `plot` plots."""
    console = Console()
    result = _common.origin(name)
    result |= DeviceThread(name, threads=options.threads).submit(measure, options, console).result()
    show(result, console)
    _common.finish(options.out, result, console)
    plot(options.out, result)
