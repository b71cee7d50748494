"""What several routes need: the context, names to voices, fields to sampling, and an eye on the client."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Awaitable
from dataclasses import replace
from typing import Annotated, Any, TypeVar

from fastapi import Depends, Request
from starlette.requests import ClientDisconnect

from deployments.contract.errors import InvalidInput, NotFound
from deployments.contract.speech import Sampling, VoicePrompt
from serve_app.context import MODEL_ALIASES, Context
from serve_app.synthesis.stream import SpeechStream
from serve_app.voices.library import Voice

log = logging.getLogger("chorale.http")

T = TypeVar("T")

SAMPLING_FIELDS = ("temperature", "top_k", "top_p", "repetition_penalty", "max_tokens")


def _context(request: Request) -> Context:
    return request.app.state.context


Shared = Annotated[Context, Depends(_context)]


def check_text(context: Context, text: str, param: str) -> None:
    most = context.settings.limits.max_input_chars
    if len(text) > most:
        message = f"Invalid '{param}': {len(text)} characters, at most {most} are allowed."
        raise InvalidInput(message, param=param, code="string_above_max_length")


def check_model(context: Context, model: str) -> None:
    known = (context.settings.model_id, *MODEL_ALIASES)
    if model not in known:
        message = f"The model in 'model' does not exist. Available: {', '.join(known)}."
        raise NotFound(message, param="model", code="model_not_found")


def sampling_of(context: Context, fields: dict[str, Any], *, seed: int | None, speed: float) -> Sampling:
    """The request's values over the family's defaults; without a seed a random one, told in x-seed."""
    given = {name: fields[name] for name in SAMPLING_FIELDS if fields.get(name) is not None}
    if seed is None:
        seed = context.settings.sampling.seed
    return replace(
        context.backend.spec.sampling,
        **given,
        seed=secrets.randbelow(2**31) if seed is None else seed,
        speed=speed,
    )


def speech_headers(sampling: Sampling, voice: str, stream: SpeechStream) -> dict[str, str]:
    """x-retries, x-cut: what went wrong so far, if more is to come."""
    return {
        "x-seed": str(sampling.seed),
        "x-voice": voice,
        "x-retries": str(stream.faults.retried),
        "x-cut": str(stream.faults.cut),
    }


async def named_prompt(context: Context, name: str, param: str) -> tuple[Voice, VoicePrompt]:
    """Raises InvalidInput (param `param`) for a voice that does not exist."""

    def read() -> tuple[Voice, bytes]:
        voice = context.voices.get(name, param)
        return voice, context.voices.read(voice)

    try:
        voice, audio = await asyncio.to_thread(read)
    except NotFound as error:  # here it is a wrong value of a field, as OpenAI sees it
        raise InvalidInput(error.message, param=param, code=error.code) from None

    async def prompt() -> VoicePrompt:
        made = True  # as far as is known: a stage that failed may have kept a prompt before
        try:
            examined = await context.prompts.of(
                audio, voice.transcript, context.read_own, param=param, voice=voice.id
            )
            made = examined.fresh
            return examined.prompt
        finally:
            if made and not await asyncio.to_thread(context.voices.holds, voice):
                await context.forget(voice.id)  # the voice was deleted meanwhile

    return voice, await context.to_the_end(prompt())


async def while_connected(request: Request, work: Awaitable[T]) -> T:
    """The result of `work`. Where the client goes away first, `work` is cancelled: ClientDisconnect.

    Only for the time before a response starts: afterwards the response itself watches.
    """
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(_disconnected(request))
    try:
        await asyncio.wait({task, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientDisconnect
        return task.result()
    finally:
        gone.cancel()
        task.cancel()


async def _disconnected(request: Request) -> None:
    try:
        while (await request.receive())["type"] != "http.disconnect":
            pass
    except Exception:  # whoever hands the client's messages over is gone, and the client with it
        log.info("the client cannot be heard any more", exc_info=True)
