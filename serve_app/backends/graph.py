"""The graph as a backend: typed calls over deployment handles that survive the death of a replica."""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Mapping
from typing import Any, TypeVar

import grpc
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from deployments.contract import speech
from deployments.contract.controls import Value
from deployments.contract.errors import ChoraleError, SynthesisFailed, Unavailable
from deployments.contract.family import FamilySpec
from deployments.contract.work import Event, WorkItem

log = logging.getLogger("ray.serve")

R = TypeVar("R")
Stage = DeploymentHandle
ANSWER_S = 60.0  # for a scheduler to accept the work; another one may have to start first
UNARY_S = 120.0
GIVE_UP_S = 60.0  # without any progress since a first failure, before a stage counts as lost
AGAIN_S = 0.2  # between two tries
STATUS_S = 2.0
FORGET_S = 3.0  # for a deletion to reach every process; after that it continues in the background
FORGET_TRIES = 5  # a second apart, while a replica cannot be reached: it may be restarting
FREE_S = 15.0  # for a stage's processes to free memory; a scheduler waits 10 s for its replicas
# the other end died, has not started yet, or did not take the message
LOST = (RayError, grpc.RpcError, RayServeException)
# of an RpcError; with the other codes the message would be rejected again
LOST_CODES = ("UNAVAILABLE", "CANCELLED", "ABORTED", "DEADLINE_EXCEEDED", "INTERNAL", "UNKNOWN")


class RayBackend:
    """Implements `Backend`. Made on the event loop that uses it. stages: in the order of `discovery.CALLED`."""

    def __init__(self, spec: FamilySpec, *stages: Stage) -> None:
        self.spec = spec
        self._unary = {  # a recording is longer than a gRPC message may be: it goes through the object store
            name: stage.options(_by_reference=name == "voice_encoder")
            for name, stage in zip(("text_frontend", "voice_encoder", "gpt", "vocoder"), stages, strict=True)
        }
        self._frontends = Replicas("text_frontend", self._unary["text_frontend"])
        self._encoders = Replicas("voice_encoder", self._unary["voice_encoder"])
        self._status: dict[str, dict[str, Any]] = {}
        self._status_at = -STATUS_S
        self._status_lock = asyncio.Lock()

    async def segments(
        self, text: str, language: str | None, controls: Mapping[str, Value] | None = None
    ) -> list[speech.Segment]:
        return await self._ask("text_frontend", "segments", text, language, controls)

    async def symbols(self, segments: list[speech.Segment]) -> list[list[str]]:
        return await self._ask("text_frontend", "symbols", segments)

    async def check_text(self, text: str, language: str | None) -> None:
        await self._ask("text_frontend", "check", text, language)

    async def encode_voice(self, reference: speech.Reference, keep: str | None = None) -> speech.VoicePrompt:
        return await self._ask("voice_encoder", "encode", reference, keep)

    async def forget(self, voice: str) -> None:
        await self._encoders.forget(voice)

    async def generate(
        self, request: speech.GptRequest, *, id: str, priority: int, admitted: bool
    ) -> AsyncGenerator[speech.Run]:
        """Closing the iterator frees the slot. If the scheduler dies, the work resumes after the last delivered run."""
        delivered: list[speech.Run] = []
        losses = Losses("gpt")
        submit = self._unary["gpt"].options(method_name="submit", stream=True)
        for attempt in itertools.count():
            work = request.resume(delivered) if attempt else request
            item = WorkItem(_attempted(id, attempt), work, priority)
            stream: Any = submit.remote(item, admitted or attempt > 0)
            finished = False
            try:
                async with asyncio.timeout(ANSWER_S):
                    await anext(stream)
                async for event in stream:
                    finished = event.done or event.error is not None
                    if event.error is not None:
                        raise event.error
                    if event.value is not None:
                        delivered.append(event.value)
                        losses.over()
                        if len(event.value):
                            yield event.value
                    if event.done:
                        return
                finished = True
                raise SynthesisFailed("the work was cancelled", code="cancelled")
            except (ChoraleError, GeneratorExit):
                raise
            except (TimeoutError, StopAsyncIteration):
                raise Unavailable("the gpt stage does not answer") from None
            except Exception as error:
                await losses.wait(error)
            finally:
                if not finished:
                    self._cancel("gpt", item.id)
                    stream.cancel()

    async def vocode(self, chunk: speech.VocoderChunk, *, id: str, priority: int) -> speech.VocodedChunk:
        """Never rejected: its request is accepted. Unary: a stream of one event takes three messages instead of one."""

        async def finish(attempt: int) -> Event:
            item = WorkItem(_attempted(id, attempt), chunk, priority, chunk.home)
            try:
                return await self._unary["vocoder"].finish.remote(item, True)
            except BaseException:
                self._cancel("vocoder", item.id)
                raise

        event = await self._call("vocoder", finish)
        if event.error is not None:
            raise event.error
        if event.value is None:
            raise SynthesisFailed("the vocoder returned nothing")
        return event.value

    async def cancel(self, id: str) -> None:
        for stage in ("gpt", "vocoder"):
            self._cancel(stage, id)

    async def status(self) -> dict[str, Any]:
        """The status of every stage, at most STATUS_S old. Never raises."""
        async with self._status_lock:
            if time.monotonic() - self._status_at >= STATUS_S:
                answers = await asyncio.gather(*map(self._stage_status, self._unary))
                self._status = dict(zip(self._unary, answers, strict=True))
                self._status_at = time.monotonic()
        ready = all(stage.get("ready", False) for stage in self._status.values())
        return {"ready": ready, "device": _device(self._status), "stages": self._status}

    async def free(self) -> list[dict[str, Any]]:
        """Of every process that answers in time. Never raises."""
        asked = [self._frontends.free(), self._encoders.free()]
        asked += [_freed(name, self._unary[name].free.remote) for name in ("gpt", "vocoder")]
        return list(itertools.chain(*await asyncio.gather(*asked)))

    async def close(self) -> None:
        """Ends the routers. Work in progress continues."""
        for stage in self._unary.values():
            await stage.shutdown_async()

    async def _ask(self, stage: str, method: str, *args: Any) -> Any:
        """A call of a stateless stage."""
        handle = self._unary[stage].options(method_name=method)
        answer = await self._call(stage, lambda _: handle.remote(*args))
        if isinstance(answer, ChoraleError):
            raise answer
        return answer

    async def _call(self, stage: str, call: Callable[[int], Awaitable[R]]) -> R:
        """The answer to a unary call, repeated if its replica dies. call: receives the number of the attempt."""
        losses, attempt = Losses(stage), 0
        while True:
            try:
                async with asyncio.timeout(UNARY_S):
                    return await call(attempt)
            except TimeoutError:
                raise Unavailable(f"the {stage} stage does not answer") from None
            except Exception as error:
                await losses.wait(error)
            attempt += 1

    def _cancel(self, stage: str, item_id: str) -> None:
        """Does not wait for an answer, because the request itself may be in the middle of being cancelled."""
        try:
            self._unary[stage].cancel.remote(item_id)
        except Exception as error:
            log.warning("cancelling %s at %s failed: %r", item_id, stage, error)

    async def _stage_status(self, stage: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(STATUS_S):
                return await self._unary[stage].status.remote()
        except TimeoutError:  # one query at a time: a busy replica answers later
            return {**self._status.get(stage, {"ready": False}), "busy": True}
        except Exception as error:
            return {"ready": False, "error": type(error).__name__}


class Losses:
    """The failures of a call that is repeated, since there was progress. A call that waited long has its whole time."""

    def __init__(self, stage: str) -> None:
        self._stage = stage
        self._give_up: float | None = None

    async def wait(self, error: Exception) -> None:
        """Returns when the call can be tried again. Raises ChoraleError if that would not help."""
        if not is_lost(error):
            raise _failure(self._stage, error) from None
        now = time.monotonic()
        self._give_up = self._give_up or now + GIVE_UP_S
        if now > self._give_up:
            raise Unavailable(f"the {self._stage} stage is gone") from None
        log.warning("%s: %s; trying again", self._stage, type(error).__name__)
        await asyncio.sleep(AGAIN_S)

    def over(self) -> None:
        self._give_up = None


class Replicas:
    """All replicas of one deployment. Implements `Processes`."""

    def __init__(self, name: str, stage: Stage) -> None:
        self._name, self._stage = name, stage
        self._forgetting: set[asyncio.Task[None]] = set()

    async def forget(self, voice: str) -> None:
        """Waits for FORGET_S and continues in the background."""
        task = asyncio.create_task(self._forget(voice))
        self._forgetting.add(task)
        task.add_done_callback(self._forgetting.discard)
        await asyncio.wait([task], timeout=FORGET_S)

    async def _forget(self, voice: str) -> None:
        said: Exception | None = None
        for _ in range(FORGET_TRIES):
            try:
                await self._stage.broadcast("forget", voice).results_async(timeout_s=UNARY_S)
                return
            except Exception as error:
                said = error
            await asyncio.sleep(1.0)
        log.warning("%s: not every replica has dropped the prompts of voice %s: %r", self._name, voice, said)

    async def free(self) -> list[dict[str, Any]]:
        return await _freed(self._name, lambda: self._stage.broadcast("free").results_async(timeout_s=FREE_S))


async def _freed(name: str, ask: Callable[[], Awaitable[list[dict[str, Any]]]]) -> list[dict[str, Any]]:
    """The reports of a stage's processes, none if they do not arrive in time."""
    try:
        return [{"stage": name, **report} for report in await asyncio.wait_for(ask(), FREE_S)]
    except Exception as error:
        log.warning("%s did not report what it freed: %r", name, error)
        return []


def _attempted(id: str, attempt: int) -> str:
    """The id of a repeated item, because the stage may still know the old one."""
    return f"{id}~{attempt}" if attempt else id


def is_lost(error: BaseException) -> bool:
    """Whether asking again may help."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, grpc.aio.AioRpcError):
        return cause.code().name in LOST_CODES
    return isinstance(cause, LOST)


def _failure(stage: str, error: BaseException) -> ChoraleError:
    cause = getattr(error, "cause", error)  # of a RayTaskError, without the traceback in its message
    if isinstance(cause, ChoraleError):
        return cause
    log.error("%s failed: %r", stage, error)
    if isinstance(error, grpc.aio.AioRpcError):
        return SynthesisFailed(f"the {stage} stage refused the message ({error.code().name.lower()})")
    return SynthesisFailed(f"the {stage} stage failed")


def _device(stages: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """The Gpt's device, always with a name and a reason."""
    for replica in stages.get("gpt", {}).get("replicas", {}).values():
        if isinstance(device := replica.get("device"), Mapping):
            reason = device.get("reason") or "; ".join(device.get("reasons", ()))
            return {**device, "name": device.get("name", ""), "reason": reason}
    return {"name": "", "reason": "no replica of the Gpt has reported yet"}
