"""Ray's token on a cluster, as docs/security.md describes it: without it, nobody joins what `ray start` has started."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from serve_app.runtime.ports import free_port

RAY = str(Path(sys.executable).parent / "ray")
DOCS = Path("docs/security.md").read_text()
JOIN = "import ray; ray.init(address={address!r}, log_to_driver=False); print('nodes', len(ray.nodes()))"


@dataclass(frozen=True)
class Head:
    address: str
    folder: Path
    token: str

    def environment(self, **token: str) -> dict[str, str]:
        """token: RAY_AUTH_…; a home without a token of its own."""
        kept = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
        return {**kept, "HOME": str(self.folder / "home"), "RAY_USAGE_STATS_ENABLED": "0", **token}

    def join(self, **token: str) -> str:
        """What a driver says that connects to the cluster."""
        command = [sys.executable, "-c", JOIN.format(address=self.address)]
        done = subprocess.run(
            command, env=self.environment(**token), capture_output=True, text=True, timeout=120
        )
        return done.stdout + done.stderr


def started(head: Head, log: Path, *arguments: str, **token: str) -> subprocess.Popen[bytes]:
    ports = ("node-manager-port", "object-manager-port", "metrics-export-port", "dashboard-agent-listen-port")
    command = [RAY, "start", "--block", "--node-ip-address", "127.0.0.1", "--num-cpus", "1"]
    command += ["--object-store-memory", str(80 * 2**20), *(f"--{name}={free_port()}" for name in ports)]
    with log.open("wb") as out:
        return subprocess.Popen(
            [*command, *arguments],
            env=head.environment(**token),
            stdout=out,
            stderr=out,
            start_new_session=True,
        )


def ended(process: subprocess.Popen[bytes]) -> None:
    os.killpg(process.pid, signal.SIGKILL)
    process.wait(30)


@pytest.fixture(scope="module")
def head() -> Iterator[Head]:
    folder = Path(tempfile.mkdtemp(prefix="ray-"))  # short, because of Ray's sockets
    (folder / "home").mkdir()
    token = secrets.token_hex(32)
    (folder / "token").write_text(token)
    port = free_port()
    head = Head(f"127.0.0.1:{port}", folder, token)
    arguments = ["--head", "--port", str(port), "--include-dashboard", "false", "--temp-dir", str(folder)]
    arguments += ["--ray-client-server-port", str(free_port())]
    path = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(folder / "token")}
    process = started(head, folder / "head.log", *arguments, **path)
    deadline = time.monotonic() + 90
    while "Ray runtime started" not in (said := (folder / "head.log").read_text()):
        assert process.poll() is None and time.monotonic() < deadline, said
        time.sleep(0.2)
    yield head
    ended(process)
    shutil.rmtree(folder, ignore_errors=True)


def test_the_page_has_the_variables_of_this_test() -> None:
    assert set(re.findall(r"export (RAY_AUTH\w+)=", DOCS)) == {"RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH"}
    assert "or RAY_AUTH_TOKEN" in DOCS


@pytest.mark.timeout(300)
def test_only_a_driver_with_the_token_connects(head: Head) -> None:
    path = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(head.folder / "token")}
    assert "nodes 1" in head.join(**path)
    assert "nodes 1" in head.join(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=head.token)
    refused = {
        "no token": head.join(),
        "another token": head.join(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32)),
        "no file": head.join(RAY_AUTH_MODE="token"),
    }
    for said in refused.values():
        assert "nodes" not in said and re.search(r"[Aa]uth", said), refused


@pytest.mark.timeout(300)
def test_a_node_without_the_token_does_not_join(head: Head) -> None:
    log = head.folder / "node.log"
    process = started(head, log, "--address", head.address, RAY_AUTH_MODE="token", RAY_AUTH_TOKEN="f" * 64)
    try:
        process.wait(90)
    except subprocess.TimeoutExpired:
        pytest.fail(f"the node did not end: {log.read_text()}")
    finally:
        ended(process)
    assert process.returncode != 0
    assert "nodes 1" in head.join(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=head.token)
