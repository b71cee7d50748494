"""Both methods of the documents benchmark speak the same, and it needs no Ray."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]


def test_it_runs_without_ray():
    program = "import sys, benchmarks.documents; sys.exit('ray' in sys.modules or 'fastapi' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, check=False).returncode == 0


def test_both_methods_speak_the_same(run, tmp_path):
    kept = tmp_path / "kept"
    words = ["--lengths", "short", "--requests", "2", "--threads", "1", "--keep", str(kept)]
    result = run("documents", *words)
    assert [row["row"] for row in result["rows"]] == ["short", "2 at once"]
    for row in result["rows"]:
        assert row["as before"]["audio_s"] == row["chorale"]["audio_s"]
        assert row["ratio"] > 0
        assert row["met"] == (row["ratio"] >= row["bar"])
    before, after = (result["quality"]["short"][name] for name in ("as before", "chorale"))
    assert before["wer"] == after["wer"]
    assert {file.name for file in kept.iterdir()} == {"short.as_before.wav", "short.chorale.wav"}
    assert (tmp_path / "documents.png").exists()
