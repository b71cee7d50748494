"""The graph as a backend: typed calls over deployment handles that survive the death of a replica."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import logging
import time
from collections.abc import AsyncGenerator, Awaitable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

import grpc
from ray.exceptions import RayError, RayTaskError
from ray.serve.exceptions import RayServeException
from ray.serve.handle import DeploymentHandle

from deployments.contract.errors import ChoraleError, SynthesisFailed, Unavailable
from deployments.contract.family import FamilySpec
from deployments.contract.speech import (
    GptRequest,
    Reference,
    Run,
    Segment,
    VocodedChunk,
    VocoderChunk,
    VoicePrompt,
)
from deployments.contract.work import Event, WorkItem

log = logging.getLogger("ray.serve")

R = TypeVar("R")
Stage = DeploymentHandle
ANSWER_S = 20.0  # for a scheduler to say that it has the work
UNARY_S = 120.0
GIVE_UP_S = 30.0  # without any progress, before a stage counts as gone
STATUS_S = 2.0
FORGET_S = 3.0  # for a deletion to reach every process, before the rest goes on in the background
FORGET_TRIES = 5  # a second apart, while a replica cannot be reached: it may be starting again
FREE_S = 15.0  # for a stage's processes to give memory back; a scheduler waits 10 s for its replicas
LOST = (
    RayError,
    grpc.RpcError,
    RayServeException,
)  # the other end died, is not there yet, or did not take the message
_CODES = grpc.StatusCode
LOST_CODES = {  # of an RpcError; the others refuse the message, and would refuse it again
    _CODES.UNAVAILABLE, _CODES.CANCELLED, _CODES.ABORTED, _CODES.DEADLINE_EXCEEDED, _CODES.INTERNAL, _CODES.UNKNOWN,
}  # fmt: skip


class RayBackend:
    """The stages of one model on Ray Serve. Implements `serve_app.synthesis.backend.Backend`.

    Raises only ChoraleErrors. Made on the event loop that uses it.
    """

    def __init__(
        self,
        spec: FamilySpec,
        text_frontend: Stage,
        voice_encoder: Stage,
        gpt_scheduler: Stage,
        vocoder_scheduler: Stage,
    ) -> None:
        self.spec = spec
        self._unary = {
            "text_frontend": text_frontend.options(_by_reference=False),
            # through the object store: a recording is longer than a gRPC message may be
            "voice_encoder": voice_encoder.options(_by_reference=True),
            "gpt": gpt_scheduler.options(_by_reference=False),
            "vocoder": vocoder_scheduler.options(_by_reference=False),
        }
        self._status: dict[str, dict[str, Any]] = {}
        self._status_at = -STATUS_S
        self._status_lock = asyncio.Lock()

    async def segments(self, text: str, language: str | None) -> list[Segment]:
        return await self._ask("text_frontend", "segments", text, language)

    async def check_text(self, text: str, language: str | None) -> None:
        await self._ask("text_frontend", "check", text, language)

    async def encode_voice(self, reference: Reference, keep: str | None = None) -> VoicePrompt:
        return await self._ask("voice_encoder", "encode", reference, keep)

    async def forget(self, voice: str) -> None:
        """In every replica of the voice encoder."""
        await forget_at("voice_encoder", self._unary["voice_encoder"], voice)

    async def generate(
        self, request: GptRequest, *, id: str, priority: int, admitted: bool
    ) -> AsyncGenerator[Run]:
        """Closing the iteration frees the slot."""
        async with contextlib.aclosing(
            self._work("gpt", WorkItem(id, request, priority), admitted)
        ) as events:
            async for event in events:
                if event.value is not None and len(event.value):
                    yield event.value

    async def vocode(self, chunk: VocoderChunk, *, id: str, priority: int) -> VocodedChunk:
        """A chunk belongs to an accepted request, so it is never rejected.

        A unary call: a stream of a single event takes three messages instead of one.
        """
        give_up = time.monotonic() + GIVE_UP_S
        for attempt in itertools.count():
            item = WorkItem(f"{id}~{attempt}" if attempt else id, chunk, priority, chunk.home)
            answered = False
            try:
                async with asyncio.timeout(UNARY_S):
                    event = await self._unary["vocoder"].finish.remote(item, True)
                answered = True
            except TimeoutError:
                raise Unavailable("the vocoder stage does not answer") from None
            except LOST as error:
                await self._wait_or_give_up("vocoder", error, give_up)
                continue
            except Exception as error:
                raise _failure("vocoder", error) from None
            finally:
                if not answered:
                    self._cancel("vocoder", item.id)
            if event.error is not None:
                raise event.error
            if event.value is not None:
                return event.value
            break
        raise SynthesisFailed("the vocoder returned nothing")

    async def cancel(self, id: str) -> None:
        for stage in ("gpt", "vocoder"):
            self._cancel(stage, id)

    async def status(self) -> dict[str, Any]:
        """The status of every stage, at most STATUS_S old. Never raises."""
        async with self._status_lock:
            if time.monotonic() - self._status_at >= STATUS_S:
                names = list(self._unary)
                answers = await asyncio.gather(*(self._stage_status(name) for name in names))
                self._status = dict(zip(names, answers, strict=True))
                self._status_at = time.monotonic()
        stages = self._status
        return {
            "ready": all(stage.get("ready", False) for stage in stages.values()),
            "device": _device(stages),
            "stages": stages,
        }

    async def free(self) -> list[dict[str, Any]]:
        """Every process behind this that answers in time. Never raises."""
        asked = [free_at(name, self._unary[name]) for name in ("text_frontend", "voice_encoder")]
        asked += [_told(name, _of(self._unary[name])) for name in ("gpt", "vocoder")]
        return [process for processes in await asyncio.gather(*asked) for process in processes]

    async def close(self) -> None:
        """Ends the routers. Work in progress goes on."""
        for stage in self._unary.values():
            await stage.shutdown_async()

    # -- calls --------------------------------------------------------------------------------------------------

    async def _ask(self, stage: str, method: str, *args: Any) -> Any:
        """A unary call of a stateless stage, repeated if its replica dies."""
        give_up = time.monotonic() + GIVE_UP_S
        while True:
            try:
                async with asyncio.timeout(UNARY_S):
                    answer = await self._unary[stage].options(method_name=method).remote(*args)
            except TimeoutError:
                raise Unavailable(f"the {stage} stage does not answer") from None
            except ChoraleError as error:
                raise _plain(error) from None
            except LOST as error:
                await self._wait_or_give_up(stage, error, give_up)
                continue
            except Exception as error:
                raise _failure(stage, error) from None
            if isinstance(answer, ChoraleError):
                raise answer
            return answer

    async def _work(self, stage: str, item: WorkItem, admitted: bool) -> AsyncGenerator[Event]:
        """The item's events. If the scheduler dies, the item is resubmitted from the last delivered event."""
        delivered: list[Any] = []
        attempt = 0
        give_up = time.monotonic() + GIVE_UP_S
        while True:
            work = item
            if attempt:  # under a new id: the old one may still be known
                work = replace(item, id=f"{item.id}~{attempt}", payload=item.payload.resume(delivered))
            submit = self._unary[stage].options(method_name="submit", stream=True)
            stream: Any = submit.remote(work, admitted or attempt > 0)
            finished = False
            try:
                async with asyncio.timeout(ANSWER_S):
                    await anext(stream)
                async for event in stream:
                    if event.error is not None:
                        finished = True
                        raise event.error
                    if event.value is not None:
                        delivered.append(event.value)
                        give_up = time.monotonic() + GIVE_UP_S
                    finished = event.done
                    yield event
                    if event.done:
                        return
                finished = True
                raise SynthesisFailed("the work was cancelled", code="cancelled")
            except (ChoraleError, GeneratorExit):
                raise
            except (TimeoutError, StopAsyncIteration):
                raise Unavailable(f"the {stage} stage does not answer") from None
            except LOST as error:
                await self._wait_or_give_up(stage, error, give_up)
                attempt += 1
            except Exception as error:
                raise _failure(stage, error) from None
            finally:
                if not finished:
                    self._cancel(stage, work.id)
                    stream.cancel()

    def _cancel(self, stage: str, item_id: str) -> None:
        """Sent, not waited for: this runs while a request is being torn down."""
        try:
            self._unary[stage].cancel.remote(item_id)
        except Exception as error:
            log.warning("cancelling %s at %s failed: %r", item_id, stage, error)

    async def _wait_or_give_up(self, stage: str, error: BaseException, give_up: float) -> None:
        if not is_lost(error):
            raise _failure(stage, error) from None
        if time.monotonic() > give_up:
            raise Unavailable(f"the {stage} stage is gone") from None
        log.warning("%s: %s; trying again", stage, type(error).__name__)
        await asyncio.sleep(0.2)

    async def _stage_status(self, stage: str) -> dict[str, Any]:
        try:
            async with asyncio.timeout(STATUS_S):
                return await self._unary[stage].status.remote()
        except TimeoutError:  # one query at a time: a busy replica answers later
            return {**self._status.get(stage, {"ready": False}), "busy": True}
        except Exception as error:
            return {"ready": False, "error": type(error).__name__}


class Peers:
    """The replicas of the HTTP deployment, this one among them. Implements `serve_app.service.Peers`."""

    def __init__(self, ingress: Stage) -> None:
        self._ingress = ingress.options(_by_reference=False)

    async def forget(self, voice: str) -> None:
        await forget_at("ingress", self._ingress, voice)

    async def free(self) -> list[dict[str, Any]]:
        return await free_at("ingress", self._ingress)


_forgetting: set[asyncio.Task[None]] = set()


async def forget_at(name: str, stage: Stage, voice: str) -> None:
    """In every replica of `stage`. Waits for FORGET_S; what is busy then is asked in the background."""
    task = asyncio.create_task(_forget_at(name, stage, voice))
    _forgetting.add(task)
    task.add_done_callback(_forgetting.discard)
    await asyncio.wait([task], timeout=FORGET_S)


async def _forget_at(name: str, stage: Stage, voice: str) -> None:
    """A replica that never answers cannot speak with the voice either: the library is asked first."""
    reason: Exception | None = None
    for attempt in range(FORGET_TRIES):
        if attempt:
            await asyncio.sleep(1.0)
        try:
            await stage.broadcast("forget", voice).results_async(timeout_s=UNARY_S)
            return
        except Exception as error:
            reason = error
    log.warning("%s: not every replica has dropped the prompts of voice %s: %r", name, voice, reason)


async def free_at(name: str, stage: Stage) -> list[dict[str, Any]]:
    """Every replica of `stage` that answers in time."""
    return await _told(name, stage.broadcast("free").results_async(timeout_s=FREE_S))


async def _of(scheduler: Stage) -> list[dict[str, Any]]:
    async with asyncio.timeout(FREE_S):
        return await scheduler.free.remote()


async def _told(stage: str, answers: Awaitable[list[dict[str, Any]]]) -> list[dict[str, Any]]:
    try:
        return [{"stage": stage, **answer} for answer in await answers]
    except Exception as error:
        log.warning("%s did not report what it freed: %r", stage, error)
        return []


def _plain(error: ChoraleError) -> ChoraleError:
    """The error that was raised remotely, without the traceback that Ray puts into its message."""
    cause = getattr(error, "cause", None)
    return cause if isinstance(cause, ChoraleError) else error


def is_lost(error: BaseException) -> bool:
    """Whether asking again may help."""
    cause = error.cause if isinstance(error, RayTaskError) else error
    if isinstance(cause, grpc.aio.AioRpcError):
        return cause.code() in LOST_CODES
    return isinstance(cause, LOST)


def _failure(stage: str, error: BaseException) -> ChoraleError:
    cause = getattr(error, "cause", None)
    if isinstance(cause, ChoraleError):
        return cause
    log.error("%s failed: %r", stage, error)
    if isinstance(error, grpc.aio.AioRpcError):
        return SynthesisFailed(f"the {stage} stage refused the message ({error.code().name.lower()})")
    return SynthesisFailed(f"the {stage} stage failed")


def _device(stages: Mapping[str, Mapping[str, Any]]) -> dict[str, Any]:
    """What the Gpt's device is and why; name and reason are always there."""
    for replica in stages.get("gpt", {}).get("replicas", {}).values():
        if isinstance(device := replica.get("device"), Mapping):
            reason = device.get("reason") or "; ".join(device.get("reasons", ()))
            return {**device, "name": device.get("name", ""), "reason": reason}
    return {"name": "", "reason": "no replica of the Gpt has reported yet"}
