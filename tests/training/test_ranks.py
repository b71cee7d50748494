"""Ranks end with their launcher."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

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


def running(pid: int) -> bool:
    """True if the process exists and is not a zombie."""
    stat = Path(f"/proc/{pid}/stat")
    return stat.exists() and stat.read_text().rsplit(")", 1)[1].split()[0] != "Z"
