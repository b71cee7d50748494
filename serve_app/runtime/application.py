"""Starts and stops the application: Ray here (or the cluster at RAY_ADDRESS), Serve, the graph of a config file."""

from __future__ import annotations

import logging
import os
import re
import signal
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from deployments.contract.errors import ConfigError, Unavailable
from serve_app.config.document import check_family, located
from serve_app.config.file import default_config_path, load_config
from serve_app.config.settings import Settings
from serve_app.http.middleware import largest_body, largest_text
from serve_app.http.proxy_guard import MAX_BODY_VARIABLE, MAX_TEXT_VARIABLE
from serve_app.runtime.node import gone, kill_ray, start_ray, stop_ray
from serve_app.runtime.ports import check_can_listen

log = logging.getLogger(__name__)

ALIVE_S = 1.0  # how often we look whether Ray is still there


@dataclass(frozen=True, slots=True)
class Running:
    """What `start` has started. `dashboard` is None where there is none; `local`: Ray's processes are ours to end."""

    http: str
    dashboard: str | None
    app: str
    local: bool
    settings: Settings


def start(
    config: str | Path | None = None,
    *,
    host: str | None = None,
    port: int | None = None,
    quiet: bool = True,
    num_cpus: int | None = None,
) -> Running:
    """Starts everything and deploys the graph; returns before it is ready (see `wait_ready`).

    Raises ConfigError for a wrong file, and where nothing can listen at the host and the port.
    """
    config = config or default_config_path()
    document, settings = load_config(config)
    http = document.setdefault("http_options", {})
    http["host"] = host or http.get("host", "127.0.0.1")
    http["port"] = port if port is not None else http.get("port", 8000)
    local = not os.environ.get("RAY_ADDRESS")
    if local:  # a wrong option or a missing file is told before anything is started
        check_family(settings, config)
        with located(config, os.environ) if host is None and port is None else nullcontext():
            check_can_listen(http["host"], http["port"])

    limits = settings.limits
    os.environ.setdefault(MAX_BODY_VARIABLE, str(largest_body(limits.max_upload_bytes)))
    os.environ.setdefault(MAX_TEXT_VARIABLE, str(largest_text(limits.max_input_chars)))
    dashboard = start_ray(num_cpus=num_cpus, quiet=quiet, host=http["host"])
    document["applications"][0]["args"] = (
        settings.to_args()
    )  # with the environment's say, which other nodes lack
    deploy(document)
    shown = "127.0.0.1" if http["host"] in ("0.0.0.0", "::") else http["host"]
    shown = f"[{shown}]" if ":" in shown else shown
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
            raise Unavailable(f"the application was not ready after {timeout:.0f} s (state: {state})")
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
    stop_ray()


def serve_forever(
    config: str | Path | None = None,
    host: str | None = None,
    port: int | None = None,
    echo: Callable[[str], None] = print,
) -> int:
    """`chorale serve`: up until SIGINT or SIGTERM. Returns the exit code. Ends this process, with 1, if Ray is gone."""
    stopping, done = threading.Event(), threading.Event()
    watch = threading.Thread(target=_watch, args=(done, echo), name="watch-ray", daemon=True)
    before = {
        name: signal.signal(name, lambda *_: stopping.set()) for name in (signal.SIGINT, signal.SIGTERM)
    }
    running = None
    watch.start()
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
        done.set()
        watch.join()  # it must not take our own end of Ray for a fault
        echo("stopping …")
        stop(running)
        for name, handler in before.items():
            signal.signal(name, handler)


def _watch(done: threading.Event, echo: Callable[[str], None]) -> None:
    """Ends this process once Ray is gone. The main thread may wait for an answer of Ray's just then, for a minute."""
    while not done.wait(ALIVE_S):
        if reason := gone():
            echo(reason)
            kill_ray()
            logging.shutdown()
            sys.stdout.flush()
            os._exit(1)
