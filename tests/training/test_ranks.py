"""Ranks end with their launcher."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from training import ranks

LAUNCHER = """
import os, signal, time, pathlib
from training import ranks

def wait(rank, size, folder):
    pathlib.Path(folder, str(rank)).write_text(str(os.getpid()))
    time.sleep(120)

if __name__ == "__main__":
    import sys
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # as a shell has it for what runs in the background
    ranks.launch(wait, 2, sys.argv[1])
"""


def test_ranks_end_with_their_launcher(tmp_path: Path) -> None:
    script = tmp_path / "launcher.py"
    script.write_text(LAUNCHER)
    environment = {**os.environ, "PYTHONPATH": os.getcwd()}
    launcher = subprocess.Popen([sys.executable, str(script), str(tmp_path)], env=environment)
    try:
        until = time.monotonic() + 60
        while not all((tmp_path / rank).exists() and (tmp_path / rank).read_text() for rank in "01"):
            assert time.monotonic() < until and launcher.poll() is None
            time.sleep(0.1)
    finally:
        launcher.send_signal(signal.SIGKILL)
        launcher.wait()
    pids = [int((tmp_path / rank).read_text()) for rank in "01"]
    until = time.monotonic() + 20
    while any(map(running, pids)):
        assert time.monotonic() < until, "a rank trains on without its launcher"
        time.sleep(0.1)


def save_gathered(rank: int, size: int, folder: Path) -> None:
    parts = [torch.full((number + 1,), number) for number in range(5)]
    torch.save(ranks.gather(parts[rank::size]), folder / f"{rank}.pt")


def test_every_rank_gets_the_parts_of_all_in_order(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "OMP_WAIT_POLICY"):  # `launch` sets them
        monkeypatch.setenv(name, "")
    ranks.launch(save_gathered, 2, tmp_path)
    for rank in range(2):
        assert [part.tolist() for part in torch.load(tmp_path / f"{rank}.pt")] == [
            [number] * (number + 1) for number in range(5)
        ]
    alone = [torch.zeros(2)]
    assert ranks.gather(alone) is alone


def running(pid: int) -> bool:
    """True if the process exists and is not a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
