"""Runs a benchmark as a user does."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """run(name, *words) runs `python -m benchmarks.NAME` and returns the content of tmp_path/NAME.json."""

    def run_it(name: str, *words: str) -> dict[str, Any]:
        out = tmp_path / f"{name}.json"
        command = [sys.executable, "-m", f"benchmarks.{name}", *words, "--out", str(out)]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=500)
        assert done.returncode == 0, done.stdout + done.stderr
        result = json.loads(out.read_text())
        assert result["command"].startswith(f"python -m benchmarks.{name}")
        assert {"cpu", "cores", "load"} <= set(result["machine"])
        return result

    return run_it
