"""Starts a service for a benchmark: `chorale serve` as a process. It and its descendants are the service."""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import yaml

from benchmarks import _common
from serve_app.runtime.ports import free_port

START_S, STOP_S = 240.0, 60.0
DEFAULT_CONFIG = _common.ROOT / "configs" / "default.yaml"


@dataclass(frozen=True, slots=True)
class Service:
    """`process` is None if this program did not start the service."""

    url: str
    process: psutil.Process | None = None

    def status(self) -> dict[str, Any]:
        return httpx.get(f"{self.url}/v1/status", timeout=60).raise_for_status().json()

    def voices(self) -> list[str]:
        answer = httpx.get(f"{self.url}/v1/audio/voices", timeout=60).raise_for_status().json()
        return [voice["name"] for voice in answer["data"]]

    def free(self) -> None:
        """Frees unused memory in every process."""
        httpx.post(f"{self.url}/v1/cache/free", timeout=60).raise_for_status()

    def processes(self) -> list[psutil.Process]:
        if self.process is None:
            return []
        return [self.process, *self.process.children(recursive=True)]


def arguments(name: str, about: str | None) -> argparse.ArgumentParser:
    """The parser of a benchmark that starts a service from --config."""
    parser = _common.arguments(name, about)
    parser.add_argument("--config", type=Path, default=DEFAULT_CONFIG, help="configs/default.yaml")
    parser.add_argument("--seed", type=int, default=1)
    return parser


@contextmanager
def running(
    config: Path = DEFAULT_CONFIG,
    *,
    url: str | None = None,
    environ: Mapping[str, str] | None = None,
    http: Mapping[str, Any] | None = None,
) -> Iterator[Service]:
    """The service at `url`, or one that is started from `config` and stopped afterwards.

    environ: added to this process's own. http: overrides the file's http_options. Raises SystemExit with the service's
    output if it does not start.
    """
    if url is not None:
        yield Service(url.rstrip("/"))
        return
    with tempfile.TemporaryDirectory() as folder:
        document = yaml.safe_load(config.read_text("utf-8"))
        document["http_options"] = {**document.get("http_options", {}), **(http or {})}
        file, said, port = Path(folder) / config.name, Path(folder) / "said.txt", free_port()
        file.write_text(yaml.safe_dump(document), "utf-8")
        environment = {**os.environ, "CHORALE_DATA_DIR": folder, **(environ or {}), "PYTHONUNBUFFERED": "1"}
        environment.pop(
            "PYTHONDONTWRITEBYTECODE", None
        )  # without bytecode, imports exceed Ray's limit of 15 s
        command = [
            sys.executable,
            "-m",
            "serve_app.cli.main",
            "serve",
            "--config",
            str(file),
            "--port",
            str(port),
        ]
        with said.open("w") as out:
            process = subprocess.Popen(command, cwd=_common.ROOT, env=environment, stdout=out, stderr=out)
        try:
            _wait_ready(process, said)
            yield Service(f"http://127.0.0.1:{port}", psutil.Process(process.pid))
        finally:
            process.send_signal(signal.SIGINT)
            try:
                process.wait(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def _wait_ready(process: subprocess.Popen[bytes], said: Path) -> None:
    deadline = time.monotonic() + START_S
    while "\nready " not in (text := said.read_text("utf-8", errors="replace")):
        if process.poll() is not None or time.monotonic() > deadline:
            raise SystemExit(f"the service did not start:\n{text}")
        time.sleep(0.2)
