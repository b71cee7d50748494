"""`chorale serve` as a process: it starts, prints its address, admits no other user, and leaves nothing behind."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
import pytest

from serve_app.config.access import hashed
from serve_app.runtime.ports import free_port
from tests.golden.indextts_set import SHIPPED

PROGRAM = (
    "import sys; from serve_app.runtime import application; "
    "sys.exit(application.serve_forever({config}, port={port}))"
)
ROOT = Path(__file__).parents[3]
AGENT = 52365  # the job port of Ray's agent


def launch(port: int, config: Path | None = None, **environ: str) -> subprocess.Popen[str]:
    environment = {**os.environ, **environ, "PYTHONUNBUFFERED": "1"}
    environment.pop("RAY_ADDRESS", None)
    command = [sys.executable, "-c", PROGRAM.format(config=repr(config and str(config)), port=port)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment)


def until_ready(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    lines = []
    for line in process.stdout:
        lines.append(line)
        if line.startswith("ready"):
            break
    assert process.poll() is None, "".join(lines)
    return lines


def listening(processes: list[psutil.Process]) -> dict[tuple[str, int], str]:
    """The address and port of every TCP listener, with the command line of its process."""
    found = {}
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            line = " ".join(process.cmdline())
            for one in process.net_connections("tcp"):
                if one.status == psutil.CONN_LISTEN:
                    found[one.laddr.ip.removeprefix("::ffff:"), one.laddr.port] = line
    return found


def shut(path: Path) -> bool:
    """True if a folder above `path` keeps other users out."""
    return any(folder.stat().st_mode & 0o077 == 0 for folder in path.parents)


def submitted(address: str, token: str | None, command: str) -> int:
    """The HTTP status of submitting a job to Ray."""
    request = urllib.request.Request(
        address, json.dumps({"entrypoint": command}).encode(), {"content-type": "application/json"}
    )
    if token is not None:
        request.add_header("authorization", f"Bearer {token}")
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status
    except urllib.error.HTTPError as error:
        return error.code


@pytest.mark.timeout(240)
def test_it_starts_on_loopback_only_and_leaves_no_process(tmp_path):
    port, token = free_port(), tmp_path / ".ray" / "auth_token"
    token.parent.mkdir()
    token.write_text("0123456789abcdef" * 4)
    token.chmod(0o644)  # Ray's mode
    process = launch(port, CHORALE_DATA_DIR=str(tmp_path), HOME=str(tmp_path))
    lines = until_ready(process)
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/ready", timeout=30) as answer:
        assert answer.status == 200
    dashboard = next(line.split()[1] for line in lines if line.startswith("dashboard"))
    with urllib.request.urlopen(dashboard, timeout=30) as answer:
        assert answer.status == 200
    metrics = next(line.split()[1] for line in lines if line.startswith("metrics"))
    with urllib.request.urlopen(metrics, timeout=30) as answer:
        assert b"ray_" in answer.read()
    family = psutil.Process(process.pid).children(recursive=True)
    assert len(family) > 5

    listeners = listening([psutil.Process(process.pid), *family])
    assert len(listeners) > 20
    assert {address for address, _ in listeners} == {"127.0.0.1"}, listeners

    assert token.stat().st_mode & 0o077 == 0
    sockets = [Path(one.laddr) for child in family for one in child.net_connections("unix") if one.laddr]
    sockets = [path for path in sockets if path.is_socket()]
    assert len(sockets) > 2 and all(shut(path) for path in sockets), sockets

    doors = [f"{dashboard}/api/jobs/"]
    if "DashboardAgent" in listeners.get(
        ("127.0.0.1", AGENT), ""
    ):  # not the agent of another Ray on this machine
        doors.append(f"http://127.0.0.1:{AGENT}/api/job_agent/jobs/")
    mark = tmp_path / "submitted"
    for door in doors:
        for wrong in (None, "f" * 64):
            assert submitted(door, wrong, f"touch {mark}") in (401, 403)
        assert submitted(door, token.read_text(), f"touch {tmp_path}/mine") not in (401, 403)
    if len(doors) == 2:  # the dashboard passes jobs to the agent
        assert eventually((tmp_path / "mine").exists)
    assert not mark.exists()

    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


def eventually(fulfilled: Callable[[], bool], within: float = 60.0) -> bool:
    deadline = time.monotonic() + within
    while not fulfilled() and time.monotonic() < deadline:
        time.sleep(0.1)
    return fulfilled()


@pytest.mark.timeout(300)
def test_a_hangup_applies_the_edited_file_and_a_wrong_one_changes_nothing(tmp_path):
    """The environment takes precedence in the processes that Serve starts, before and after."""
    keys = json.dumps({"alice": {"hash": hashed("sk-alice")}})
    path, text = tmp_path / "mine.yaml", (ROOT / "configs" / "default.yaml").read_text()
    path.write_text(text)
    data = str(tmp_path / "data")
    process = launch(port := free_port(), path, CHORALE_DATA_DIR=data, CHORALE_ACCESS__KEYS=keys)
    lines = until_ready(process)

    def limit(key: str = "sk-alice") -> int:
        asked = urllib.request.Request(f"http://127.0.0.1:{port}/v1/status")
        asked.add_header("authorization", f"Bearer {key}")
        with urllib.request.urlopen(asked, timeout=30) as answer:
            return json.load(answer)["limits"]["max_input_chars"]

    assert limit() == 100_000
    with pytest.raises(urllib.error.HTTPError, match="401"):
        limit("sk-mallory")
    path.write_text(text.replace("family:", "famly:"))
    process.send_signal(signal.SIGHUP)
    assert process.stdout is not None
    assert process.stdout.readline() == "wrong configuration:\n"
    assert "mine.yaml:13: applications[0].args.famly: unknown key; allowed" in process.stdout.readline()
    assert limit() == 100_000

    path.write_text(f"{text}      limits:\n        max_input_chars: 77\n")
    process.send_signal(signal.SIGHUP)
    again = until_ready(process)
    assert [line.split()[0] for line in again] == ["settings", "ready"] and again[0] not in lines
    assert eventually(lambda: limit() == 77)
    with pytest.raises(urllib.error.HTTPError, match="401"):
        limit("sk-mallory")
    process.send_signal(signal.SIGTERM)
    assert process.wait(60) == 0


@pytest.mark.timeout(240)
@pytest.mark.parametrize("daemon", ["gcs_server", pytest.param("raylet", marks=pytest.mark.nightly)])
def test_it_exits_with_the_reason_when_ray_dies(tmp_path, daemon):
    process = launch(free_port(), CHORALE_DATA_DIR=str(tmp_path))
    until_ready(process)
    family = psutil.Process(process.pid).children(recursive=True)
    (victim,) = [child for child in family if Path(child.cmdline()[0]).name == daemon]
    victim.kill()
    out, _ = process.communicate(timeout=30)
    assert process.returncode == 1
    assert f"Ray is gone: its {daemon} (process {victim.pid}) ended, killed by signal 9" in out
    _, alive = psutil.wait_procs(family, timeout=10)
    assert not alive


OPEN = """
import ray
from serve_app.runtime import node
node.start_ray(num_cpus=1, dashboard=False, host="0.0.0.0")
print("node", ray.nodes()[0]["NodeManagerAddress"])
node.stop_ray()
"""


@pytest.mark.timeout(240)
def test_with_another_host_ray_uses_its_default_address():
    from ray._common.network_utils import node_ip_address_from_perspective

    environment = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-c", OPEN], env=environment, capture_output=True, text=True, timeout=200
    )
    assert f"node {node_ip_address_from_perspective()}\n" in done.stdout, done.stderr


@pytest.mark.parametrize(
    ("environ", "says"),
    [({"CHORALE_GPT__SLOTS": "none"}, "gpt.slots"), ({"CHORALE_GPT__SLOTZ": "1"}, "unknown key; allowed")],
)
def test_a_wrong_configuration_does_not_start(environ, says):
    process = launch(free_port(), **environ)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert says in out


def test_a_port_in_use_is_reported():
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        process = launch(port)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 2
    assert f"port {port}" in out


@pytest.mark.timeout(240)
@pytest.mark.parametrize(
    ("size", "says"),
    [
        (None, "not found in the model folder"),
        pytest.param(600_000, "cannot be read: truncated", marks=pytest.mark.nightly),
    ],
)
def test_a_damaged_checkpoint_does_not_start_and_is_named(tmp_path, size, says):
    folder = Path(shutil.copytree(SHIPPED / "checkpoint", tmp_path / "model"))
    data = (folder / "gpt.pth").read_bytes()
    (folder / "gpt.pth").unlink()
    if size is not None:
        (folder / "gpt.pth").write_bytes(data[:size])
    config = ROOT / "configs" / "indextts.yaml"
    process = launch(free_port(), config, CHORALE_FAMILY__OPTIONS__MODEL_DIR=str(folder))
    out, _ = process.communicate(timeout=200)
    assert process.returncode != 0
    assert f"gpt.pth: {says}" in out
    assert "Traceback" not in out
