"""Runs the tests marked `gpu` if pytest is installed. Only their files are collected, because others import Ray."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
MARK = "pytest.mark.gpu"
# options of plugins that may not be installed must not be errors
OPTIONS = ["-q", "-m", "gpu", "-rs", "-p", "no:cacheprovider", "-o", "addopts=--import-mode=importlib"]


def files() -> list[str]:
    found = [path for path in (ROOT / "tests").rglob("test_*.py") if MARK in path.read_text("utf-8")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


def tests() -> dict[str, Any]:
    if importlib.util.find_spec("pytest") is None:
        return {"ran": False, "reason": "pytest is not installed", "checks": {}}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *OPTIONS, *files()],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = done.stdout.strip().splitlines() or done.stderr.strip().splitlines() or [""]
    found = {
        "ran": True,
        "files": files(),
        "said": lines[-1].strip("= "),
        "checks": {"they pass": not done.returncode},
    }
    return found if not done.returncode else found | {"output": lines[-60:]}
