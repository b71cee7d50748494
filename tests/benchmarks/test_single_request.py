"""The benchmark measures what it says: two ways to the same sound."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path


def test_streamed_and_whole_give_the_same_sound(tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    words = ["--sentences", "1", "--voice", "clara", "--out", str(out)]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.single_request", *words],
        capture_output=True,
        text=True,
        timeout=200,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(out.read_text())
    assert result["largest_difference"] < 1e-5
    assert set(result["figures"]) == {"streamed", "whole utterance"}
    for figures in result["figures"].values():
        assert figures["audio_s"] > 0.5
        assert figures["rtf"]["mean"] > 0
        assert 0 < figures["ttfa_share"]["mean"] <= 1
    assert result["figures"]["whole utterance"]["ttfa_share"]["mean"] == 1
    assert result["command"].startswith("python -m benchmarks.single_request")
    assert {"cpu", "cores", "load"} <= set(result["machine"])
