"""`chorale serve` as a process: it comes up, says where, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import urllib.request
from pathlib import Path

import psutil
import pytest

from serve_app.ports import free_port

PROGRAM = (
    "import sys; from serve_app.runtime import serve_forever; sys.exit(serve_forever({config}, port={port}))"
)
ROOT = Path(__file__).parents[2]


def launch(port: int, config: Path | None = None, **environ: str) -> subprocess.Popen[str]:
    environment = {**os.environ, **environ, "PYTHONUNBUFFERED": "1"}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-c", PROGRAM.format(config=repr(config and str(config)), port=port)]
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


def test_a_free_port_is_none_that_the_system_gives_to_connections_by_default():
    assert all(20000 <= free_port() < 32768 for _ in range(20))


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


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("size", "says"), [(None, "no such file in the model folder"), (600_000, "it is truncated")]
)
def test_a_damaged_checkpoint_does_not_start_and_is_named(tmp_path, size, says):
    folder = Path(shutil.copytree(ROOT / "tests/golden/indextts/checkpoint", tmp_path / "model"))
    data = (folder / "gpt.pth").read_bytes()
    (folder / "gpt.pth").unlink()
    if size is not None:
        (folder / "gpt.pth").write_bytes(data[:size])
    config = ROOT / "configs" / "indextts.yaml"
    process = launch(free_port(), config, CHORALE_FAMILY__OPTIONS__MODEL_DIR=str(folder))
    out, _ = process.communicate(timeout=200)
    assert process.returncode != 0
    assert f"gpt.pth: {says}" in out.replace("there is ", "").replace("cannot be read, ", "")
    assert "Traceback" not in out
