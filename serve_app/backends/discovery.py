"""Finds the models of a service among Serve's applications, and their state."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import re
import time
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from ray import serve
from ray.serve.schema import ApplicationStatusOverview, DeploymentStatusOverview, ServeStatus

from deployments.contract.errors import ConfigError
from deployments.text_frontend import ModelDescription
from serve_app.backends.graph import RayBackend
from serve_app.config.applications import STAGES
from serve_app.config.settings import IngressSettings
from serve_app.models import Model, Models

log = logging.getLogger("chorale.models")

STARTING_S, FAILED_S = 1.0, 5.0  # between two checks of models that are starting, or have failed
AGAIN_S = 0.5  # requests for a failed model must not keep the controller busy
DESCRIBE_S = 10.0
DRAIN_S = 600.0  # after which no request uses a removed model
FAILED = ("DEPLOY_FAILED", "UNHEALTHY")
# Ray names the process before the error that it raised.
RAISED = re.compile(
    r"\(pid=\d+, ip=(?P<node>[^,)]+)|(?:^|\.)(?:Config|Checkpoint)Error: (?P<said>.+)", re.MULTILINE
)
LOOPBACK = ("127.0.0.1", "::1", "localhost")
CALLED = ("TextFrontend", "VoiceEncoder", "GptScheduler", "VocoderScheduler")  # in the order of RayBackend


class Place(NamedTuple):
    """The place and the version of a model's stages (see `config.applications`)."""

    application: str | None
    prefix: str
    version: str


class Discovery:
    """Keeps `models` as configured. A change of the configuration arrives through `expect`.

    Serve's status costs the controller and this process about 60 ms, so it is only requested for starting or failed
    models.
    """

    def __init__(self, models: Models, application: str, ingress: IngressSettings) -> None:
        self._models, self._application, self._ingress = models, application, ingress
        self._places: dict[str, Place] = {}
        self._unsettled: set[str] = set()
        self._changed = asyncio.Event()
        self._looking: asyncio.Task[None] | None = None
        self._looked = 0.0
        self._closing: set[asyncio.Task[None]] = set()
        models.look = self.look
        self._watcher = asyncio.get_running_loop().create_task(self._watch())

    def expect(self, wanted: Mapping[str, Any]) -> None:
        """wanted: see `config.applications.expected_models`."""
        places = {name: Place(**place) for name, place in wanted["models"].items()}
        for model in self._models.expect(places, wanted["default"]):
            self._close(model)
        changed = {name for name, place in places.items() if self._places.get(name) != place}
        self._unsettled = changed | (self._unsettled & places.keys())
        self._places = places
        self._changed.set()

    async def look(self) -> None:
        """Updates the models that are not settled, AGAIN_S after the last time at the earliest. Calls share it."""
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._look())
        await asyncio.shield(self._looking)

    def check_health(self) -> None:
        """Raises RuntimeError if the search for models has ended."""
        if self._watcher.done():
            raise RuntimeError(f"the search for models ended: {self._watcher}")

    async def _watch(self) -> None:
        while True:
            self._changed.clear()
            await self.look()
            failed = all(self._models.entries[name].reason is not None for name in self._unsettled)
            wait = (FAILED_S if failed else STARTING_S) if self._unsettled else None
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._changed.wait(), wait)

    async def _look(self) -> None:
        if not self._unsettled:
            return
        await asyncio.sleep(self._looked + AGAIN_S - time.monotonic())
        self._looked = time.monotonic()
        try:
            status = await asyncio.to_thread(serve.status)
            await asyncio.gather(*(self._settle(name, status) for name in list(self._unsettled)))
        except Exception as error:  # the controller may be restarting
            log.warning("Serve's status is not available: %r", error)

    async def _settle(self, name: str, status: ServeStatus) -> None:
        place = self._places[name]
        application = status.applications.get(place.application or self._application)
        if application is None:
            return
        stages = application.deployments
        found = [stages[name] for name in (place.prefix + stage for stage in STAGES) if name in stages]
        reason, model = failure(application if place.application else None, found), None
        try:
            if len(found) == len(STAGES) and all(stage.status == "HEALTHY" for stage in found):
                model = await self._found(name, place)
        except ConfigError as error:
            reason = error.message
        except Exception as error:
            log.warning("model %s does not describe itself yet: %r", name, error)
        if self._places.get(name) != place:  # no longer wanted
            return
        if reason is not None:
            self._models.fail(name, reason)
        elif model is not None:
            if (before := self._models.entries[name].model) is not None:
                self._close(before)
            self._models.put(model)
            self._unsettled.discard(name)
            log.info("model %s is ready", name)

    async def _found(self, name: str, place: Place) -> Model | None:
        """None while an older version answers."""
        application = place.application or self._application
        names = [place.prefix + stage for stage in CALLED]
        stages = [await asyncio.to_thread(serve.get_deployment_handle, each, application) for each in names]
        described: ModelDescription
        async with asyncio.timeout(DESCRIBE_S):
            described = await stages[0].options(method_name="describe", _by_reference=False).remote()
        if described.version != place.version:
            return None
        backend = RayBackend(described.spec, *stages)
        return Model(name, described.options, backend, self._ingress, described.weights)

    def _close(self, model: Model) -> None:
        async def drained() -> None:
            await asyncio.sleep(DRAIN_S)
            assert isinstance(model.backend, RayBackend)
            await model.backend.close()

        task = asyncio.create_task(drained())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def failure(
    application: ApplicationStatusOverview | None, stages: Iterable[DeploymentStatusOverview]
) -> str | None:
    """Why a model cannot start, if it cannot. The reason is safe to show. application: the model's own, if any."""
    broken = [stage for stage in stages if stage.status in FAILED]
    if not broken and (application is None or application.status not in FAILED):
        return None
    refused = refusals(stage.message for stage in broken)
    return "; ".join(refused) or "its stages do not start; the log of the service has the reason."


def refusals(messages: Iterable[str]) -> list[str]:
    """The messages of ConfigErrors and CheckpointErrors that stages raised, with the node if it is another machine."""
    found, node = dict[str, None](), ""
    for match in RAISED.finditer("\n".join(messages)):
        if match["node"]:
            node = match["node"]
        else:
            elsewhere = f" (on node {node})" if node and node not in LOOPBACK else ""
            found[match["said"] + elsewhere] = None
    return list(found)
