"""`chorale serve` as a process: it comes up, says where, and leaves nothing behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import urllib.request

import psutil
import pytest

from serve_app.runtime import free_port

PROGRAM = "import sys; from serve_app.runtime import serve_forever; sys.exit(serve_forever(port={port}))"


def launch(port: int, **environ: str) -> subprocess.Popen[str]:
    environment = {**os.environ, **environ, "PYTHONUNBUFFERED": "1"}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-c", PROGRAM.format(port=port)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


@pytest.mark.timeout(240)
@pytest.mark.parametrize("how", [signal.SIGTERM])
def test_it_comes_up_and_leaves_no_process(tmp_path, how):
    port = free_port()
    process = launch(port, CHORALE_DATA_DIR=str(tmp_path))
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("ready"):
            break
    assert process.poll() is None, "".join(lines)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=30) as answer:
        assert answer.status == 200
    dashboard = next(line.split()[1] for line in lines if line.startswith("dashboard"))
    with urllib.request.urlopen(dashboard, timeout=30) as answer:
        assert answer.status == 200
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) > 5
    process.send_signal(how)
    assert process.wait(60) == 0
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


@pytest.mark.parametrize(
    ("environ", "says"),
    [({"CHORALE_GPT__SLOTS": "none"}, "gpt.slots"), ({"CHORALE_GPT__SLOTZ": "1"}, "unknown key; allowed")],
)
def test_a_wrong_configuration_does_not_start(environ, says):
    process = launch(free_port(), **environ)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert says in out


def test_a_taken_port_is_told(cluster):
    process = launch(cluster.port)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert f"port {cluster.port}" in out
