"""HTTP clients: requests, and the arrival times of the sound, with a fixed number of clients or a fixed rate."""

from __future__ import annotations

import asyncio
import random
import time
from collections import deque
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import httpx
import numpy as np

PCM_RATE = 24000  # Hz, of OpenAI's pcm (16 bit, mono)
BYTES_PER_S = 2 * PCM_RATE
TIMEOUT_S = 900.0
TOO_MANY = 429
CUT = "cut"  # the code of a response that broke off


@dataclass(frozen=True, slots=True)
class Say:
    text: str
    voice: str
    seed: int

    def body(self) -> dict[str, object]:
        body: dict[str, object] = {"model": "tts-1", "input": self.text, "voice": self.voice}
        return body | {"seed": self.seed, "response_format": "pcm", "stream_format": "audio"}


@dataclass(slots=True)
class Answer:
    """The response to one request. Times are from time.perf_counter.

    arrivals: (time, bytes so far) of every piece. refusals: the number of 429 before it. code: the error's code or
    None. left: the client disconnected on purpose. refused_at, retry_after: the time and the header of the last 429.
    """

    say: Say
    asked: float
    status: int = 0
    code: str | None = None
    refusals: int = 0
    left: bool = False
    refused_at: float | None = None
    retry_after: str | None = None
    arrivals: list[tuple[float, int]] = field(default_factory=list)
    data: bytes = b""

    @property
    def good(self) -> bool:
        return self.status == 200 and self.code is None and not self.left and bool(self.arrivals)

    @property
    def first_s(self) -> float:
        return self.arrivals[0][0] - self.asked

    @property
    def total_s(self) -> float:
        return self.arrivals[-1][0] - self.asked

    @property
    def seconds(self) -> float:
        """The seconds of sound."""
        return self.arrivals[-1][1] / BYTES_PER_S if self.arrivals else 0.0

    @property
    def waveform(self) -> np.ndarray:
        """float32 (N,) at PCM_RATE."""
        return np.frombuffer(self.data, "<i2").astype(np.float32) / 32768

    @property
    def heard_at(self) -> float:
        """The time at which a player has played everything that arrived."""
        return self.arrivals[0][0] + self.seconds + sum(self.gaps()) if self.arrivals else self.asked

    def gaps(self, buffer_s: float = 0.0) -> list[float]:
        """The seconds of each gap in a player that starts `buffer_s` after the first byte."""
        if not self.arrivals:
            return []
        dry_at = self.arrivals[0][0] + buffer_s + self.arrivals[0][1] / BYTES_PER_S
        found, before = [], self.arrivals[0][1]
        for when, held in self.arrivals[1:]:
            if when > dry_at:
                found.append(when - dry_at)
                dry_at = when
            dry_at += (held - before) / BYTES_PER_S
            before = held
        return found


@dataclass(frozen=True, slots=True)
class Load:
    """The responses, and the time from `began` to `until` during which the load was complete."""

    answers: list[Answer]
    began: float
    until: float
    client_cpu_s: float  # of this process, over the whole run
    wall_s: float

    @property
    def audio_per_s(self) -> float:
        """Seconds of sound received per second during the load."""
        arrived = sum(_bytes_until(answer, self.until) for answer in self.answers)
        return arrived / BYTES_PER_S / (self.until - self.began)

    @property
    def requests_per_s(self) -> float:
        done = sum(answer.good and answer.arrivals[-1][0] <= self.until for answer in self.answers)
        return done / (self.until - self.began)


def _bytes_until(answer: Answer, until: float) -> int:
    return max((held for when, held in answer.arrivals if when <= until), default=0)


@asynccontextmanager
async def client(url: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client without a limit on connections."""
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
    async with httpx.AsyncClient(base_url=url, timeout=TIMEOUT_S, limits=limits) as opened:
        yield opened


async def ask(
    http: httpx.AsyncClient,
    say: Say,
    *,
    asked: float | None = None,
    patient: bool = True,
    leave_after_s: float | None = None,
    leave_after_bytes: int | None = None,
    keep: bool = True,
) -> Answer:
    """One request to its end, or until this client disconnects.

    asked: the time from which it counts, if not now. patient: retry a 429 after Retry-After.
    """
    answer = Answer(say, time.perf_counter() if asked is None else asked)
    try:
        async with asyncio.timeout(leave_after_s):
            while (wait_s := await _attempt(http, answer, leave_after_bytes, keep)) is not None and patient:
                answer.refusals += 1
                await asyncio.sleep(wait_s)
    except TimeoutError:
        answer.left = True
    except httpx.HTTPError as error:
        answer.code = CUT if answer.arrivals else type(error).__name__
    return answer


async def _attempt(
    http: httpx.AsyncClient, answer: Answer, leave_after_bytes: int | None, keep: bool
) -> float | None:
    """Returns the seconds to wait before another attempt, or None after the last."""
    held, pieces = 0, []
    async with http.stream("POST", "/v1/audio/speech", json=answer.say.body()) as response:
        answer.status, answer.code = response.status_code, None
        if response.status_code != 200:
            await response.aread()
            answer.code = _code(response)
            if response.status_code != TOO_MANY:
                return None
            answer.refused_at, answer.retry_after = time.perf_counter(), response.headers.get("retry-after")
            return float(answer.retry_after or 1)
        try:
            async for piece in response.aiter_raw():
                held += len(piece)
                answer.arrivals.append((time.perf_counter(), held))
                if keep:
                    pieces.append(piece)
                if leave_after_bytes is not None and held >= leave_after_bytes:
                    answer.left = True
                    break
        finally:
            answer.data = b"".join(pieces)
    return None


def _code(response: httpx.Response) -> str:
    try:
        return str(response.json()["error"]["code"])
    except (ValueError, KeyError, TypeError):
        return "unreadable"


async def closed_loop(url: str, sayings: Sequence[Say], clients: int, listening: bool = False) -> Load:
    """`clients` clients. Each sends its next request when the response is complete or, if `listening`, played.

    The load lasts until the requests run out.
    """
    waiting = deque(sayings)
    answers: list[Answer] = []
    dry_at = 0.0

    async def one(http: httpx.AsyncClient) -> None:
        nonlocal dry_at
        while waiting:
            answers.append(answer := await ask(http, waiting.popleft()))
            if listening:
                await asyncio.sleep(answer.heard_at - time.perf_counter())
        dry_at = dry_at or time.perf_counter()

    began, cpu = time.perf_counter(), time.process_time()
    async with client(url) as http:
        await asyncio.gather(*(one(http) for _ in range(clients)))
    ended = time.perf_counter()
    return Load(answers, began, dry_at, time.process_time() - cpu, ended - began)


async def open_loop(url: str, sayings: Sequence[Say], rate: float, seed: int = 0) -> Load:
    """Requests at random times, `rate` per second on average (Poisson), even if the service cannot keep up."""
    rng = random.Random(seed)
    began, cpu = time.perf_counter(), time.process_time()
    at, tasks = began, []
    async with client(url) as http:
        for say in sayings:
            at += rng.expovariate(rate)
            await asyncio.sleep(max(0.0, at - time.perf_counter()))
            tasks.append(asyncio.create_task(ask(http, say, asked=at, patient=False)))
        until = time.perf_counter()
        answers = await asyncio.gather(*tasks)
    return Load(list(answers), began, until, time.process_time() - cpu, time.perf_counter() - began)
