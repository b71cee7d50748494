"""Starts and stops the service: Ray here (or the cluster at RAY_ADDRESS), Serve, the applications of a config file."""

from __future__ import annotations

import logging
import math
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from contextlib import nullcontext, suppress
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import httpx

from deployments.contract.errors import ConfigError, Unavailable
from serve_app.config.applications import expanded
from serve_app.config.document import check_models, located
from serve_app.config.file import default_config_path, load_config
from serve_app.config.settings import Settings
from serve_app.http.middleware import largest_body, largest_book, largest_text
from serve_app.http.proxy_guard import (
    CORS_VARIABLE,
    MAX_BODY_VARIABLE,
    MAX_BOOK_VARIABLE,
    MAX_TEXT_VARIABLE,
)
from serve_app.runtime.node import gone, kill_ray, metrics_address, start_ray, stop_ray
from serve_app.runtime.ports import check_access, check_can_listen

log = logging.getLogger(__name__)

ALIVE_S = 1.0  # between two checks that Ray is still alive
DEPLOYING = ("NOT_STARTED", "DEPLOYING")  # states of a Serve application


@dataclass(frozen=True, slots=True)
class Running:
    """app: the ingress's application; local: this process started Ray; broken: as `check_models`."""

    http: str
    dashboard: str | None
    app: str
    local: bool
    settings: Settings
    broken: dict[str, str]


@dataclass(frozen=True, slots=True)
class Missing:
    """Of the configuration. models: why they failed, by name; replicas: why ready models have fewer, by name."""

    models: dict[str, str]
    replicas: dict[str, str]


def start(path: str | Path, host: str | None = None, port: int | None = None) -> Running:
    """Deploys the applications; returns before they are ready (see `wait_ready`). host, port: override the file's.

    Raises ConfigError for a wrong file, and if nothing can listen at the host and the port.
    """
    local = not os.environ.get("RAY_ADDRESS")
    document, settings, broken = _read(path, host, port, local)
    http, limits = document["http_options"], settings.limits
    with located(path, os.environ) if host is None and port is None else nullcontext():
        if local:
            check_can_listen(http["host"], http["port"])
        check_access(http["host"], settings)
    os.environ.setdefault(MAX_BODY_VARIABLE, str(largest_body(limits.max_upload_bytes)))
    os.environ.setdefault(MAX_TEXT_VARIABLE, str(largest_text(limits.max_input_chars)))
    os.environ.setdefault(MAX_BOOK_VARIABLE, str(largest_book(settings.jobs.max_book_bytes)))
    os.environ.setdefault(CORS_VARIABLE, " ".join(settings.http.cors_origins))
    cpus = max(2, os.cpu_count() or 2, math.ceil(settings.reserved_cpus))
    dashboard = start_ray(num_cpus=cpus, host=http["host"])
    shown = "127.0.0.1" if http["host"] in ("0.0.0.0", "::") else http["host"]  # only shown # nosec B104
    shown = f"[{shown}]" if ":" in shown else shown
    deploy(dashboard, expanded(document, settings))
    name = document["applications"][0]["name"]
    return Running(f"http://{shown}:{http['port']}", dashboard, name, local, settings, broken)


def redeploy(running: Running, path: str | Path, host: str | None, port: int | None) -> Running:
    """Deploys what differs now, except for the host and port. Raises ConfigError for a wrong file or too many CPUs."""
    import ray

    document, settings, broken = _read(path, host, port, running.local)
    check_access(document["http_options"]["host"], settings)
    wanted, cpus = settings.reserved_cpus, ray.cluster_resources().get("CPU", 0)
    if running.local and wanted > cpus:
        message = f"the stages reserve {wanted:g} CPUs and Ray was started with {cpus:g}"
        raise ConfigError(f"{message}: lower `num_cpus` of stages, or restart")
    deploy(running.dashboard, expanded(document, settings))
    return replace(running, app=document["applications"][0]["name"], settings=settings, broken=broken)


def _read(
    path: str | Path, host: str | None, port: int | None, local: bool
) -> tuple[dict[str, Any], Settings, dict[str, str]]:
    """The Serve config, our settings in it and `Running.broken`. A cluster has other files: they are not checked."""
    document, settings = load_config(path)
    document["applications"][0].setdefault("name", "default")
    http = document["http_options"]
    http["host"] = host or http.get("host", "127.0.0.1")
    http["port"] = port if port is not None else http.get("port", 8000)
    return document, settings, check_models(settings, path) if local else {}


def deploy(dashboard: str | None, document: dict[str, Any]) -> None:
    """Hands a Serve config to Serve's REST API, as `serve deploy FILE` does; does not wait."""
    from ray.dashboard.modules.serve.sdk import ServeSubmissionClient

    if dashboard is None:
        raise Unavailable("this Ray has no dashboard, which takes Serve's configurations: start one")
    try:
        ServeSubmissionClient(dashboard).deploy_applications(document)
    except (OSError, RuntimeError) as error:  # requests' own errors are OSErrors
        raise Unavailable(f"Serve did not accept the configuration: {error}") from None


def wait_ready(running: Running, stop: threading.Event | None = None, timeout: float = 120.0) -> Missing:
    """Waits until every model has started or failed and GET /ready answers 200. Returns what is missing.

    Raises ConfigError if no model can speak because stages refused their configuration, checkpoint or memory, else
    Unavailable. timeout: seconds for each model.
    """
    from ray import serve

    from serve_app.backends.discovery import FAILED, failure, refusals, shortage

    stop = stop or threading.Event()
    deadline = time.monotonic() + timeout * len(running.settings.served)
    while True:
        began = time.monotonic()
        applications = serve.status().applications
        took = time.monotonic() - began
        ours = {name: applications.get(name) for name in (running.app, *running.settings.served)}
        ingress = ours[running.app]
        if ingress is not None and ingress.status in FAILED:
            raise Unavailable(f"the application did not start:\n{ingress.message.strip()}")
        models = {name: app for name, app in ours.items() if app is not None and name != running.app}
        reasons = {name: failure(app, app.deployments.values()) for name, app in models.items()}
        failed = {name: reason for name, reason in reasons.items() if reason is not None}
        short = {name: shortage(app.deployments.values()) for name, app in models.items()}
        limited = {name: reason for name, reason in short.items() if reason and name not in failed}
        if len(failed) == len(running.settings.served):
            stages = [stage for app in models.values() for stage in app.deployments.values()]
            if refused := refusals(stage.message for stage in stages):
                raise ConfigError("\n".join(refused))
            said = "\n".join(app.message.strip() for app in models.values())
            raise Unavailable(f"no model started:\n{said}")
        states = {name: app.status.value if app else "NOT_STARTED" for name, app in ours.items()}
        settled = failed.keys() | limited.keys()
        waiting = [name for name, state in states.items() if state in DEPLOYING and name not in settled]
        if stop.is_set() or (not waiting and _answers_ready(running)):
            return Missing(failed, limited)
        if time.monotonic() > deadline:
            named = ", ".join(f"{name} is {state}" for name, state in states.items())
            said = refusals(stage.message for app in models.values() for stage in app.deployments.values())
            raise Unavailable("\n".join([f"the service was not ready in time ({named})", *said]))
        stop.wait(min(max(0.25, 10 * took), 1.0))  # a busy machine needs its CPU time to start the replicas


def _answers_ready(running: Running) -> bool:
    with suppress(httpx.TransportError):
        return httpx.get(f"{running.http}/ready", timeout=5, trust_env=False).status_code == 200
    return False


def stop(running: Running | None = None) -> None:
    """Ends every process of a Ray that was started here; on a cluster, deletes the applications."""
    import ray

    if not ray.is_initialized():
        return
    if running is None or running.local:
        stop_ray()
    else:
        from ray import serve

        for name in (running.app, *running.settings.served):
            serve.delete(name, _blocking=False)
        ray.shutdown()


def serve_forever(
    config: str | Path | None = None,
    host: str | None = None,
    port: int | None = None,
    echo: Callable[[str], None] = print,
) -> int:
    """`chorale serve` until SIGINT or SIGTERM; SIGHUP reads the file again. Returns the exit code, 1 if Ray is gone."""
    path = config or default_config_path()
    stopping, done, signals = threading.Event(), threading.Event(), SimpleQueue[int]()
    watch = threading.Thread(target=_watch, args=(done, echo), name="watch-ray", daemon=True)

    def received(number: int, _: object) -> None:
        if number != signal.SIGHUP:
            stopping.set()
        signals.put(number)

    def refused(error: ConfigError | Unavailable) -> int:
        wrong = isinstance(error, ConfigError)
        echo(f"wrong configuration:\n{error.message}" if wrong else error.message)
        return 2 if wrong else 1

    def announce(running: Running) -> None:
        echo(f"settings   {running.settings.hash[:16]}")
        missing = wait_ready(running, stopping)
        for name, reason in missing.models.items():
            echo(f"failed     {name}: {running.broken.get(name, reason)}")
        for name, reason in missing.replicas.items():
            echo(f"limited    {name}: replicas are missing: {reason}")
        if not stopping.is_set():
            echo(f"ready      {running.http}")

    before = {name: signal.signal(name, received) for name in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    running = None
    watch.start()
    try:
        echo("starting …")
        running = start(path, host, port)
        for number in before:  # Ray sets its own
            signal.signal(number, received)
        echo(f"dashboard  {running.dashboard or 'none'}")
        if running.local and (metrics := metrics_address()):
            echo(f"metrics    {metrics}")
        announce(running)
        while not stopping.is_set():
            if signals.get() == signal.SIGHUP:
                try:  # a wrong file changes nothing, and a model that cannot start does not end the service
                    running = redeploy(running, path, host, port)
                    announce(running)
                except (ConfigError, Unavailable) as error:
                    refused(error)
        return 0
    except (ConfigError, Unavailable) as error:
        return refused(error)
    finally:
        done.set()
        watch.join()  # it must not mistake our own end of Ray for a fault
        echo("stopping …")
        stop(running)
        for name, handler in before.items():
            signal.signal(name, handler)


def _watch(done: threading.Event, echo: Callable[[str], None]) -> None:
    """Ends this process once Ray is gone, because the main thread may then wait for Ray for a minute."""
    while not done.wait(ALIVE_S):
        if reason := gone():
            echo(reason)
            kill_ray()
            logging.shutdown()
            sys.stdout.flush()
            os._exit(1)
