"""Starts and ends Ray on this machine, closed to other users and, if the host is loopback, to other machines."""

from __future__ import annotations

import contextlib
import logging
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil

from deployments.contract.errors import Unavailable
from serve_app.runtime.ports import free_port, is_loopback

log = logging.getLogger(__name__)

ROOT = str(Path(__file__).resolve().parents[2])
OBJECT_STORE_BYTES = 256 * 2**20  # what stages exchange travels in messages, not in the object store
STOP_S = 15.0
ATTEMPTS = 3  # to start Ray
# For Ray's processes here, unless the user has set them. No stage computes on its event loop, so Serve needs no second
# thread for its own work: with 8 clients on two cores the first sound came about 20 % earlier. A malloc arena for each
# thread would grow for thousands of requests. The proxy gets its guard, and a dead one is replaced after three checks,
# which are 10 s apart by default. docs/configuration.md describes other clusters.
RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_REPLICA_GRPC_MAX_MESSAGE_LENGTH": f"{64 * 2**20}",  # a minute vocoded whole takes 11 MiB
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "MALLOC_ARENA_MAX": "1",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve_app.http.proxy_guard:middlewares",
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.5",
    "RAY_worker_niceness": "0",
}
CLUSTER = "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"  # 0: Ray's address of this node is 127.0.0.1, on Linux too
LONGEST_SOCKET = 107  # bytes of an AF_UNIX path
SOCKET = "/ray/session_2000-01-01_00-00-00_000000_4194304/sockets/plasma_store"
SETUP_HOOK = "__RAY_WORKER_PROCESS_SETUP_HOOK_ENV_VAR"  # what every worker calls first
VITAL = ("gcs_server", "raylet")  # daemons, by Ray's names

_daemons: list[tuple[str, subprocess.Popen[bytes]]] = []  # the vital ones of the Ray that was started here


def start_ray(*, num_cpus: int, dashboard: bool = True, host: str = "127.0.0.1") -> str | None:
    """Connects to RAY_ADDRESS, or starts Ray here. Returns the dashboard's address. Raises Unavailable.

    host: where Serve will listen; if it is loopback, a Ray that is started here listens on loopback only.
    """
    set_environment()
    import ray

    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR, "namespace": "serve"}
    if address := os.environ.get("RAY_ADDRESS"):
        context = ray.init(address=address, **options)
    else:
        with for_this_user(), for_this_machine() if is_loopback(host) else contextlib.nullcontext():
            context = _start_node(
                num_cpus=num_cpus,
                include_dashboard=dashboard,
                dashboard_host="127.0.0.1",
                object_store_memory=OBJECT_STORE_BYTES,
                _temp_dir=str(_own_folder() / "ray"),
                **options,
            )
    return f"http://{context.dashboard_url}" if context.dashboard_url else None


def set_environment() -> None:
    """Sets what Ray's processes on this machine inherit."""
    for name, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if ROOT not in paths:  # Ray's workers find our packages, installed or not
        os.environ["PYTHONPATH"] = os.pathsep.join([ROOT, *filter(None, paths)])


def _start_node(**options: Any) -> Any:
    """Tries again, because Ray gives its daemons 30 s to start, which a busy machine with cold caches exceeds."""
    import ray
    from ray._private import worker

    before = {process.pid for process in psutil.Process().children(recursive=True)}
    for attempt in range(1, ATTEMPTS + 1):
        try:
            port = free_port() if options["include_dashboard"] else None
            context = ray.init(address="local", dashboard_port=port, **options)
            node: Any = worker._global_node
            _daemons[:] = [(kind, info.process) for kind in VITAL for info in node.all_processes[kind]]
            return context
        except Exception as error:
            log.warning("Ray did not start (attempt %d of %d): %s", attempt, ATTEMPTS, error)
            ray.shutdown()
            _kill([child for child in psutil.Process().children(recursive=True) if child.pid not in before])
    raise Unavailable("Ray did not start on this machine; see the log files of its session")


@contextlib.contextmanager
def for_this_user() -> Iterator[None]:
    """Other users cannot read the files that Ray's processes write, such as its token."""
    before = os.umask(0o077)
    try:
        yield
    finally:
        os.umask(before)
    token = Path.home() / ".ray" / "auth_token"
    with contextlib.suppress(OSError):  # written by an earlier Ray
        if token.stat().st_mode & 0o077:
            token.chmod(0o600)


@contextlib.contextmanager
def for_this_machine() -> Iterator[None]:
    """A Ray that is started meanwhile listens on loopback only, unless the user has set CLUSTER to 1."""
    from ray._private import ray_constants

    before, cluster = dict(os.environ), ray_constants.ENABLE_RAY_CLUSTER
    os.environ.setdefault(CLUSTER, "0")
    if os.environ[CLUSTER] != "1":
        os.environ.setdefault(SETUP_HOOK, "serve_app.runtime.loopback.bind_replicas")
        ray_constants.ENABLE_RAY_CLUSTER = False  # of this process, which may have imported Ray before
    try:
        yield
    finally:
        ray_constants.ENABLE_RAY_CLUSTER = cluster
        for name in (CLUSTER, SETUP_HOOK):
            if name not in before:
                os.environ.pop(name, None)


def _own_folder() -> Path:
    """Of Ray's sockets and logs, closed because Ray opens all below it. Raises Unavailable if it is another user's."""
    from ray._common.utils import get_default_system_temp_dir

    name = f"chorale-{os.getuid()}"
    folder = Path(get_default_system_temp_dir(), name)
    if len(str(folder) + SOCKET) > LONGEST_SOCKET:
        folder = Path("/tmp", name)  # closed and checked below # nosec B108
    with contextlib.suppress(FileExistsError):
        folder.mkdir(mode=0o700, parents=True)
    if folder.is_symlink() or not folder.is_dir() or folder.stat().st_uid != os.getuid():
        raise Unavailable(f"{folder} is not a folder owned by this user: remove it or set RAY_TMPDIR")
    folder.chmod(0o700)
    return folder


def metrics_address() -> str | None:
    """Where the Ray that was started here exports its metrics."""
    import ray

    for node in ray.nodes():
        if node["Alive"] and (port := node.get("MetricsExportPort")):
            return f"http://{node['NodeManagerAddress']}:{port}/metrics"
    return None


def gone() -> str | None:
    """Names the vital daemon that has ended, if any, of the Ray that was started here."""
    for kind, process in _daemons:
        if (code := process.poll()) is not None:
            how = f"killed by signal {-code}" if code < 0 else f"with exit code {code}"
            return f"Ray is gone: its {kind} (process {process.pid}) ended, {how}"
    return None


def stop_ray() -> None:
    """Ends every process of the Ray that was started here."""
    import ray

    ours = _own_processes()
    _daemons.clear()
    ray.shutdown()
    _, left = psutil.wait_procs(ours, timeout=STOP_S)
    for process in left:
        log.warning("process %d of Ray did not exit and was killed", process.pid)
    _kill(left)


def kill_ray() -> None:
    """As `stop_ray`, if Ray is gone: its own shutdown would wait for daemons that do not answer."""
    _kill(_own_processes())


def _kill(processes: list[psutil.Process]) -> None:
    for process in processes:
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(processes, timeout=5)


def _own_processes() -> list[psutil.Process]:
    """The daemons that this process has started, and their descendants."""
    import ray

    package = str(Path(ray.__file__).parent)
    found = []
    for child in psutil.Process().children():
        with contextlib.suppress(psutil.Error):
            if any(argument.startswith(package) for argument in child.cmdline()):
                found += [child, *child.children(recursive=True)]
    return found
