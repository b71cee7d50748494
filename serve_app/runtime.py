"""Starts and stops the application: Ray here (or the cluster at RAY_ADDRESS), Serve, the graph of a config file."""

from __future__ import annotations

import contextlib
import logging
import os
import random
import re
import signal
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from deployments import families
from deployments.contract.errors import ConfigError, Unavailable
from deployments.engine.vocode.schedule import ChunkSchedule
from serve_app.config_file import default_config_path, load_config
from serve_app.edge import largest_body, largest_text
from serve_app.proxy_guard import MAX_BODY_VARIABLE, MAX_TEXT_VARIABLE
from serve_app.settings import Settings

log = logging.getLogger(__name__)

ROOT = Path(__file__).resolve().parent.parent
OBJECT_STORE_BYTES = 256 * 2**20  # what stages exchange travels in messages, not in the object store
STOP_S = 15.0
QUIET_PORTS = range(20000, 32768)  # Ray's workers listen below, the system's own choice of port is above
# Of Ray's processes here; set before, the user's own say stands. No stage computes on its event loop, so Serve needs no
# second thread beside it for its own work: with 8 clients on our two-core machine first sound came about 20 % earlier.
# An arena of malloc per thread is free space that grows for thousands of requests, and no stage has two threads that
# allocate much. The proxy gets its guard, and a dead one is replaced after three checks, which are 10 s apart by
# default. docs/configuration.md says who sets these elsewhere.
RAY_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    "MALLOC_ARENA_MAX": "1",
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "serve_app.proxy_guard:middlewares",
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "0.5",
}


@dataclass(frozen=True, slots=True)
class Running:
    """What `start` has started. `dashboard` is None where there is none; `local`: Ray's processes are ours to end."""

    http: str
    dashboard: str | None
    app: str
    local: bool
    settings: Settings


def start_ray(*, num_cpus: int | None = None, dashboard: bool = True, quiet: bool = True) -> str | None:
    """Connects to RAY_ADDRESS, or starts Ray here. Returns the dashboard's address."""
    for name, value in RAY_ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    _let_workers_import(ROOT)
    import ray

    options: dict[str, Any] = {
        "log_to_driver": not quiet,
        "logging_level": logging.ERROR if quiet else logging.INFO,
        "namespace": "serve",
    }
    if address := os.environ.get("RAY_ADDRESS"):
        context = ray.init(address=address, **options)
    else:
        context = _start_node(
            num_cpus=num_cpus or max(2, os.cpu_count() or 2),
            include_dashboard=dashboard,
            dashboard_host="127.0.0.1",
            object_store_memory=OBJECT_STORE_BYTES,
            **options,
        )
    return f"http://{context.dashboard_url}" if context.dashboard_url else None


def _start_node(attempts: int = 3, **options: Any) -> Any:
    """Ray gives its own daemons 30 s to come up, which a busy machine exceeds; files are cached the next time."""
    import ray

    before = {process.pid for process in psutil.Process().children(recursive=True)}
    for attempt in range(1, attempts + 1):
        try:
            port = free_port() if options["include_dashboard"] else None
            return ray.init(address="local", dashboard_port=port, **options)
        except Exception as error:
            log.warning("Ray did not start (attempt %d of %d): %s", attempt, attempts, error)
            ray.shutdown()
            _end([child for child in psutil.Process().children(recursive=True) if child.pid not in before])
    raise Unavailable("Ray did not start on this machine; see the log files of its session")


def start(
    config: str | Path | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
    quiet: bool = True,
    num_cpus: int | None = None,
) -> Running:
    """Starts everything and deploys the graph; returns before it is ready (see `wait_ready`).

    Raises ConfigError for a wrong file, and where the port is taken.
    """
    document, settings = load_config(config or default_config_path())
    http = document.setdefault("http_options", {})
    http["host"] = host or http.get("host", "127.0.0.1")
    http["port"] = port if port is not None else http.get("port", 8000)
    local = not os.environ.get("RAY_ADDRESS")
    if local:  # a wrong option or a missing file is told before anything is started
        family = families.load(settings.family.name, settings.family.options)
        ChunkSchedule.of(family.spec, settings.vocoder_chunk_size, **settings.chunks.model_dump())
    if local and not _is_free(http["host"], http["port"]):
        raise ConfigError(f"port {http['port']} of {http['host']} is taken", param="http_options.port")

    limits = settings.limits
    os.environ.setdefault(MAX_BODY_VARIABLE, str(largest_body(limits.max_upload_bytes)))
    os.environ.setdefault(MAX_TEXT_VARIABLE, str(largest_text(limits.max_input_chars)))
    dashboard = start_ray(num_cpus=num_cpus, quiet=quiet)
    document["applications"][0]["args"] = (
        settings.to_args()
    )  # with the environment's say, which other nodes lack
    deploy(document)
    shown = "127.0.0.1" if http["host"] in ("0.0.0.0", "::") else http["host"]
    name = document["applications"][0].get("name", "default")
    return Running(f"http://{shown}:{http['port']}", dashboard, name, local, settings)


def deploy(document: dict[str, Any]) -> None:
    """Hands a Serve config to the controller, as `serve run FILE` does; does not wait."""
    from ray import serve
    from ray.serve.context import _get_global_client
    from ray.serve.schema import ServeDeploySchema

    schema = ServeDeploySchema.model_validate(document)
    serve.start(
        proxy_location=schema.proxy_location,
        http_options=schema.http_options.model_dump(),
        logging_config=schema.logging_config,
    )
    client = _get_global_client()
    assert client is not None
    client.deploy_apps(schema, _blocking=False)


def wait_ready(running: Running, timeout: float = 120.0, stop: threading.Event | None = None) -> None:
    """Returns when GET /ready answers 200.

    Raises ConfigError where a stage refused its configuration, its checkpoint or the memory that it would take, and
    Unavailable with the reason where that answer does not come.
    """
    from ray import serve

    stop = stop or threading.Event()
    deadline = time.monotonic() + timeout
    while not stop.is_set():
        try:
            with urllib.request.urlopen(f"{running.http}/ready", timeout=5) as answer:
                if answer.status == 200:
                    return
        except (urllib.error.URLError, OSError):
            pass
        application = serve.status().applications.get(running.app)
        if application is not None and application.status in ("DEPLOY_FAILED", "UNHEALTHY"):
            if refused := _refusals(application):
                raise ConfigError("\n".join(refused))
            raise Unavailable(f"the application did not start:\n{application.message.strip()}")
        if time.monotonic() > deadline:
            state = application.status if application else "not deployed"
            raise Unavailable(f"the application is not ready after {timeout:.0f} s (state: {state})")
        stop.wait(0.25)


def _refusals(application: Any) -> list[str]:
    """What the stages found wrong in their configuration or checkpoint, a line each."""
    messages = "\n".join(deployment.message for deployment in application.deployments.values())
    return list(dict.fromkeys(re.findall(r"(?:^|\.)ConfigError: (.+)", messages, re.MULTILINE)))


def stop(running: Running | None = None) -> None:
    """Ends every process of a Ray that was started here; from a cluster, takes the application away."""
    import ray

    if not ray.is_initialized():
        return
    if running is not None and not running.local:
        from ray import serve

        serve.delete(running.app)
        ray.shutdown()
        return
    ours = _of_ray(psutil.Process().children(recursive=True))
    ray.shutdown()
    psutil.wait_procs(ours, timeout=STOP_S)
    _end(ours)


def serve_forever(
    config: str | Path | None = None,
    host: str | None = None,
    port: int | None = None,
    echo: Callable[[str], None] = print,
) -> int:
    """`chorale serve`: up until SIGINT or SIGTERM. Returns the exit code."""
    stopping = threading.Event()
    before = {
        name: signal.signal(name, lambda *_: stopping.set()) for name in (signal.SIGINT, signal.SIGTERM)
    }
    running = None
    try:
        echo("starting …")
        running = start(config, host=host, port=port)
        for name in before:  # Ray sets its own
            signal.signal(name, lambda *_: stopping.set())
        echo(f"settings   {running.settings.hash[:16]}")
        echo(f"dashboard  {running.dashboard or 'none'}")
        wait_ready(running, stop=stopping)
        if not stopping.is_set():
            echo(f"ready      {running.http}")
        stopping.wait()
        return 0
    except ConfigError as error:
        echo(f"wrong configuration:\n{error.message}")
        return 2
    except Unavailable as error:
        echo(error.message)
        return 1
    finally:
        echo("stopping …")
        stop(running)
        for name, handler in before.items():
            signal.signal(name, handler)


def _end(processes: list[psutil.Process]) -> None:
    left = [process for process in processes if process.is_running()]
    for process in left:
        log.warning("process %d of Ray did not end: killed", process.pid)
        with contextlib.suppress(psutil.Error):
            process.kill()
    psutil.wait_procs(left, timeout=5)


def free_port() -> int:
    """A port that nothing on this machine listens at, and that no outgoing connection is given meanwhile by default.

    It is bound only seconds later, when Ray has opened hundreds of connections, whose ports the system chooses (on
    Linux from net.ipv4.ip_local_port_range, which begins at 32768 if nobody has changed it).
    Raises OSError where none is free.
    """
    for port in random.SystemRandom().sample(QUIET_PORTS, 100):
        if _is_free("127.0.0.1", port):
            return port
    raise OSError(f"no free port from {QUIET_PORTS.start} to {QUIET_PORTS.stop - 1}")


def _is_free(host: str, port: int) -> bool:
    with socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
    return True


def _let_workers_import(root: Path) -> None:
    """Ray's workers find the packages beside this one, installed or not."""
    paths = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    if str(root) not in paths:
        os.environ["PYTHONPATH"] = os.pathsep.join([str(root), *filter(None, paths)])


def _of_ray(processes: list[psutil.Process]) -> list[psutil.Process]:
    """Those that belong to Ray: its daemons, and what descends from them."""
    found = []
    for process in processes:
        try:
            line = " ".join(process.cmdline())
        except psutil.Error:
            continue
        if "ray" in line:
            found.append(process)
    return found
