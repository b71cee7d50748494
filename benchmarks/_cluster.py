"""Chorale on a Ray cluster of several nodes on this machine, which may lose nodes and get others."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil
import yaml

from benchmarks import _service
from serve_app.runtime import application
from serve_app.runtime.node import for_this_machine, for_this_user, set_environment
from serve_app.runtime.ports import free_port

NODES, CPUS = 3, 2  # by default; CPUs of each node, which are Ray's logical ones
OBJECT_STORE_BYTES = 80 * 2**20
HTTP = {"host": "127.0.0.1", "request_timeout_s": 600, "keep_alive_timeout_s": 30}


class Cluster:
    """Make one with `running`. nodes: those that were added and not removed, without the head, which stays."""

    def __init__(self, cluster: Any, folder: Path) -> None:
        self._cluster, self._file = cluster, folder / "serve.yaml"
        self._port = free_port()
        self._running: application.Running | None = None
        self.nodes: list[Any] = []
        self.service = _service.Service(f"http://127.0.0.1:{self._port}", psutil.Process())

    def deploy(self, args: Mapping[str, Any]) -> application.Missing:
        """Deploys the application, or what differs from the last call. Returns when all models are ready or failed.

        args: as in a config file. A data folder inside the cluster's own is the default. Raises ConfigError and
        Unavailable.
        """
        args = {"data_dir": str(self._file.parent / "data"), **args}
        whole = {"name": "chorale", "import_path": "serve_app.app:build", "args": args}
        document = {"proxy_location": "HeadOnly", "http_options": HTTP, "applications": [whole]}
        self._file.write_text(yaml.safe_dump(document), "utf-8")
        if self._running is None:
            self._running = application.start(self._file, port=self._port)
        else:
            self._running = application.redeploy(self._running, self._file, None, self._port)
        return application.wait_ready(self._running)

    def add_node(self, cpus: int = CPUS, **more: Any) -> Any:
        """more: arguments of Ray's `Cluster.add_node`. Returns Ray's node."""
        node = self._cluster.add_node(num_cpus=cpus, object_store_memory=OBJECT_STORE_BYTES, **more)
        self.nodes.append(node)
        return node

    def kill_node(self, node: Any) -> None:
        """Kills every process of a node at once, as a machine that vanishes."""
        for process in processes(node):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._cluster.remove_node(node, allow_graceful=False)
        self.nodes.remove(node)

    def restart_gcs(self, after_s: float) -> None:
        """Kills the head's GCS and starts another `after_s` later. Its state must be in Redis (`with_redis`)."""
        self._cluster.head_node.kill_gcs_server()
        time.sleep(after_s)
        self._cluster.head_node.start_gcs_server()

    def stop(self) -> None:
        if self._running is not None:
            application.stop(self._running)
        self._cluster.shutdown()


def processes(node: Any) -> list[psutil.Process]:
    """A node's daemons and their descendants."""
    family = []
    for daemons in node.all_processes.values():
        for daemon in daemons:
            with contextlib.suppress(psutil.NoSuchProcess):
                process = psutil.Process(daemon.process.pid)
                family += [process, *process.children(recursive=True)]
    return family


@contextmanager
def running(args: Mapping[str, Any], nodes: int = NODES, cpus: int = CPUS) -> Iterator[Cluster]:
    """A cluster with Chorale on it. It listens on loopback only. The first node is the head, with the only proxy.

    args: see `Cluster.deploy`. Raises what that raises.
    """
    before = {process.pid for process in psutil.Process().children(recursive=True)}
    environment = dict(os.environ)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # without bytecode, imports exceed Ray's limit of 15 s
    folder = Path(tempfile.mkdtemp(prefix="chorale-", dir="/tmp"))  # short: it holds Ray's sockets
    os.environ["RAY_TMPDIR"] = str(folder)
    (folder / "ray").mkdir()  # where Ray's Cluster writes its address
    try:
        with for_this_machine(), for_this_user():
            started = Cluster(_head(cpus), folder)
            try:
                for _ in range(nodes - 1):
                    started.add_node(cpus)
                started.deploy(args)
                yield started
            finally:
                started.stop()
    finally:
        for process in psutil.Process().children(recursive=True):
            if process.pid not in before:
                with contextlib.suppress(psutil.NoSuchProcess):
                    process.kill()
        os.environ.clear()
        os.environ.update(environment)
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def with_redis() -> Iterator[None]:
    """Heads that are started meanwhile keep their state in a Redis on this machine. Raises SystemExit without one."""
    program = shutil.which("redis-server")
    if program is None:
        raise SystemExit("redis-server is not installed (Debian: apt-get install redis-server)")
    port = free_port()
    command = [program, "--bind", "127.0.0.1", "--port", str(port), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    os.environ["RAY_REDIS_ADDRESS"] = f"127.0.0.1:{port}"
    try:
        yield
    finally:
        del os.environ["RAY_REDIS_ADDRESS"]
        process.kill()
        process.wait()


def _head(cpus: int) -> Any:
    """A Ray cluster that has only its head. Processes that are started later find it at RAY_ADDRESS."""
    set_environment()
    from ray._private.authentication import authentication_token_setup as token
    from ray.cluster_utils import Cluster as RayCluster

    token.enable_token_auth_by_default()
    token.ensure_token_if_auth_enabled()
    cluster: Any = RayCluster(
        initialize_head=True,
        shutdown_at_exit=False,  # `running` ends it all, and Ray's hooks would tie a new node to the main thread
        head_node_args={
            "num_cpus": cpus,
            "object_store_memory": OBJECT_STORE_BYTES,
            "include_dashboard": True,
            "dashboard_host": "127.0.0.1",
            "dashboard_port": free_port(),
        },
    )
    os.environ["RAY_ADDRESS"] = cluster.address
    return cluster
