"""Both ways of the documents benchmark say the same, and what it imports needs no Ray."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def test_it_runs_where_there_is_no_ray():
    program = "import sys, benchmarks.documents; sys.exit('ray' in sys.modules or 'fastapi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


@pytest.mark.timeout(300)
def test_both_ways_say_the_same(tmp_path):
    out, kept = tmp_path / "documents.json", tmp_path / "kept"
    words = ["--lengths", "short", "--requests", "2", "--repeat", "1", "--threads", "1"]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.documents", *words, "--keep", str(kept), "--out", str(out)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=290,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    result = json.loads(out.read_text())
    assert [row["row"] for row in result["rows"]] == ["short", "2 at once"]
    for row in result["rows"]:
        assert row["as before"]["audio_s"] == row["chorale"]["audio_s"]
        assert row["ratio"] > 0
        assert row["met"] == (row["ratio"] >= row["bar"])
    before, after = (result["quality"]["short"][name] for name in ("as before", "chorale"))
    assert before["wer"] == after["wer"]
    assert {file.name for file in kept.iterdir()} == {"short.as_before.wav", "short.chorale.wav"}
    assert out.with_suffix(".png").exists()
