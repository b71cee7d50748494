"""What Ray does when `drain-node` drains a worker."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.k8s.rendered import ROOT


@pytest.mark.nightly
def test_a_drained_node_finishes_its_stream_and_ends(tmp_path):
    command = [sys.executable, "-m", "tests.k8s.drained", str(tmp_path / "said.json")]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=280)
    assert result.returncode == 0, result.stderr
    said = json.loads((tmp_path / "said.json").read_text())
    assert said == {"stream": ["drained"] * 16, "ended": 0, "next": "other"}
