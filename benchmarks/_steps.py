"""Runs steps in child processes with a time limit each, so that one that raises, hangs or dies does not stop others.

    python -m benchmarks._steps MODULE:FUNCTION ARGUMENTS OUT

calls the function with the JSON object ARGUMENTS as keyword arguments, and writes {"result"} or {"error"} to OUT.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LEAST_S = 5.0  # a step with less time left is not started
LAST_LINES = 15  # of a child's output, shown if it wrote no result

OK, FAILED, TIMED_OUT, LEFT_OUT = "ok", "failed", "timed out", "left out"


@dataclass(frozen=True, slots=True)
class Step:
    """function: "module:name". It returns JSON, in which all `checks`, by name, must be true."""

    name: str
    function: str
    limit_s: float
    arguments: dict[str, Any] = field(default_factory=dict)


def run_all(
    steps: Iterable[Step], until: float, on_end: Callable[[dict[str, Any]], None] = lambda row: None
) -> list[dict[str, Any]]:
    """Returns one row for each step, in order: name, status, seconds, limit_s, and result or error.

    until: the time.monotonic() by which all must have ended. on_end: called with each row.
    """
    rows = []
    for step in steps:
        limit = min(step.limit_s, until - time.monotonic())
        row = {"name": step.name, "limit_s": round(limit, 1)}
        if limit < LEAST_S and limit < step.limit_s:
            row |= {"status": LEFT_OUT, "seconds": 0.0, "error": "no time was left"}
        else:
            row |= run_one(step, limit)
        rows.append(row)
        on_end(row)
    return rows


def run_one(step: Step, limit_s: float) -> dict[str, Any]:
    began = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        out, log = Path(folder) / "out.json", Path(folder) / "log"
        command = [sys.executable, "-m", __name__, step.function, json.dumps(step.arguments), str(out)]
        with log.open("wb") as output:
            child = subprocess.Popen(command, cwd=ROOT, stdout=output, stderr=output, start_new_session=True)
            try:
                code = child.wait(limit_s)
            except subprocess.TimeoutExpired:
                code = None
            finally:
                _end_group(child)
        row: dict[str, Any] = {"seconds": round(time.monotonic() - began, 2)}
        said = "\n".join(log.read_text("utf-8", "replace").splitlines()[-LAST_LINES:])
        if code is None:
            return row | {"status": TIMED_OUT, "error": f"not done within {limit_s:.0f} s\n{said}".strip()}
        try:
            found = json.loads(out.read_text("utf-8"))
        except (OSError, ValueError):
            return row | {"status": FAILED, "error": f"the process ended with {code}\n{said}".strip()}
    if "error" in found:
        return row | {"status": FAILED, **found}
    wrong = [name for name, holds in found["result"].get("checks", {}).items() if not holds]
    if wrong:
        return row | {"status": FAILED, "error": f"does not hold: {', '.join(wrong)}", **found}
    return row | {"status": OK, **found}


def _end_group(child: subprocess.Popen[bytes]) -> None:
    """Kills the child and its descendants."""
    with suppress(ProcessLookupError, PermissionError):  # all have ended
        os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def main() -> None:
    function, arguments, out = sys.argv[1:]
    module, _, name = function.partition(":")
    try:
        found = {"result": getattr(importlib.import_module(module), name)(**json.loads(arguments))}
    except Exception as error:
        where = traceback.format_exception(error)[-3:]
        found = {"error": f"{type(error).__name__}: {error}", "trace": "".join(where)}
    draft = Path(f"{out}.draft")
    draft.write_text(json.dumps(found), "utf-8")
    os.replace(draft, out)


if __name__ == "__main__":
    main()
