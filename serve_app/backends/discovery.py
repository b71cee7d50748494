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
from ray.serve.schema import ApplicationStatusOverview, DeploymentStatusOverview, ReplicaState, ServeStatus

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
# What Serve says of a replica that does not start, while others of its version run and none of an older one; otherwise
# it gives the number of tries that are left.
STARTS_AGAIN = "A replica failed to start with exception. Retrying. "
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
        self._limited: set[str] = set()  # those of them that can speak
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
        self._limited = (self._limited - changed) & places.keys()
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
            starting = any(self._models.entries[name].reason is None for name in self._unsettled)
            wait = (STARTING_S if starting else FAILED_S) if self._unsettled else None
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
        limit = shortage(found) if len(found) == len(STAGES) else None
        whole = len(found) == len(STAGES) and all(stage.status == "HEALTHY" for stage in found)
        try:
            if (whole or limit) and name not in self._limited:
                model = await self._found(name, place)
        except ConfigError as error:
            reason = error.message
        except Exception as error:
            log.warning("model %s does not describe itself yet: %r", name, error)
        if self._places.get(name) != place:  # no longer wanted
            return
        if reason is not None:
            self._limited.discard(name)
            self._models.fail(name, reason)
            return
        if model is not None:
            if (before := self._models.entries[name].model) is not None:
                self._close(before)
            self._models.put(model)
            self._limited.add(name)
            log.info("model %s is ready", name)
        if limit is not None and name in self._limited:
            self._models.limit(name, limit)
        elif whole and name in self._limited:
            self._models.limit(name, None)
            self._limited.discard(name)
            self._unsettled.discard(name)

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
    """Why a model cannot start, if it cannot. The reason is safe to show. application: the model's own, if any.

    A stage whose replicas died is unhealthy while Serve starts others, which is no failure; nor is a `shortage`.
    """
    stages = list(stages)
    stuck = [stage for stage in stages if stage.status in FAILED and not _limited(stage)]
    refused = refusals(stage.message for stage in stuck)
    states = {stage.status for stage in stages} | ({application.status} if application else set())
    if not refused and "DEPLOY_FAILED" not in states:
        return None
    return "; ".join(refused) or "its stages do not start; the log of the service has the reason."


def shortage(stages: Iterable[DeploymentStatusOverview]) -> str | None:
    """Why stages have fewer replicas than configured, if each has one and the others refuse to start.

    That is so where one node of a cluster lacks a checkpoint, for instance; Serve tries again, there and on others.
    """
    stages = list(stages)
    if not all(stage.status == "HEALTHY" or _limited(stage) for stage in stages):
        return None
    return "; ".join(refusals(stage.message for stage in stages)) or None


def _limited(stage: DeploymentStatusOverview) -> bool:
    """Whether a stage has a replica, and others refuse to start."""
    running = stage.replica_states.get(ReplicaState.RUNNING, 0) > 0
    return running and stage.message.startswith(STARTS_AGAIN) and bool(refusals([stage.message]))


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
