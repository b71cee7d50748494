"""Faults under a constant load: what each costs the requests, and how long it takes until all is as before.

A Ray cluster of three nodes on this machine serves requests that arrive at a fixed rate, whatever happens. Each request
is a text, a voice and a seed, so its samples are known from an undisturbed run before. Then every kind of actor is
killed in turn, a node vanishes and another joins, and a changed configuration is rolled out and back. No request may
fail and no sample may differ. A killed ingress or proxy breaks the connections that it holds: those requests are
counted apart and asked again.
"""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from rich.console import Console
from rich.table import Table

from benchmarks import _actors, _cluster, _common, _load, _plot, jobs

TEXTS = 12
LONG = 20  # sentences of a stream that lasts through a roll-out
JOB = 6  # sentences
AGAIN_S = 0.25  # until a client whose connection broke asks again
STREAMING_S = 1.5  # from a long stream's request to the fault
GCS_S = 10.0  # without a GCS
BACK_S = 150.0  # longer than the streams and segments of a replaced replica may last
GIVE_UP_S = 90.0  # of such a client
CHANGED = {"gpt": {"slots": 6, "emit_every": 12}, "ingress": {"window": 2}}  # no sample depends on these
NONE = "none"
MARK = "<!-- from benchmarks/results/faults.json -->\n"  # around the table in the page
HEADS = "fault|requests|failed|differ|broken or refused|TTFA p50, s|p99, s|slow for, s|all back, s".split("|")
SLOW = 2.0  # times the undisturbed p99 of the first sound, from which a request was slow


@dataclass(slots=True)
class Request:
    """attempts: more than one if connections broke."""

    say: _load.Say
    asked: float
    ended: float = 0.0
    attempts: list[_load.Answer] = field(default_factory=list)

    @property
    def good(self) -> bool:
        return self.attempts[-1].good

    @property
    def breaks(self) -> int:
        """Broken connections."""
        return len(self.attempts) - 1

    @property
    def first_s(self) -> float:
        """To the first sound, asking again included."""
        return next(answer for answer in self.attempts if answer.arrivals).arrivals[0][0] - self.asked

    def differs(self, samples: bytes) -> bool:
        """Whether something else was heard than `samples`; a broken attempt must be their beginning."""
        *broken, last = self.attempts
        return last.data != samples or not all(samples.startswith(answer.data) for answer in broken)


async def request(http: httpx.AsyncClient, say: _load.Say, asked: float) -> Request:
    """Asks, and asks again when the connection breaks or cannot be made."""
    made = Request(say, asked)
    while True:
        answer = await _load.ask(http, say, patient=False)
        made.attempts.append(answer)
        broken = answer.code == _load.CUT or answer.status == 0
        made.ended = time.perf_counter()
        if not broken or made.ended > asked + GIVE_UP_S:
            return made
        await asyncio.sleep(AGAIN_S)


class Client:
    """Requests at a constant rate, and others on demand."""

    def __init__(self, http: httpx.AsyncClient, sayings: Sequence[_load.Say], rate: float) -> None:
        self._http, self._sayings, self._rate = http, sayings, rate
        self._tasks: list[asyncio.Task[Request]] = []
        self._over = False
        self.began = time.perf_counter()

    def ask(self, say: _load.Say, at: float | None = None) -> None:
        at = time.perf_counter() if at is None else at
        self._tasks.append(asyncio.create_task(request(self._http, say, at)))

    async def run(self) -> None:
        self.began = at = time.perf_counter()
        for say in itertools.cycle(self._sayings):
            if self._over:
                return
            self.ask(say, at)
            at += 1 / self._rate
            await asyncio.sleep(at - time.perf_counter())

    async def end(self) -> list[Request]:
        self._over = True
        return await asyncio.gather(*self._tasks)


@dataclass(slots=True)
class Struck:
    """One fault: when it began and when all was as before, by time.perf_counter; back is 0 if that was never."""

    name: str
    began: float
    back: float = 0.0


@dataclass(slots=True)
class Trial:
    """The run: the cluster, its actors, the load and the faults so far."""

    cluster: _cluster.Cluster
    actors: _actors.Actors
    client: Client
    http: httpx.AsyncClient
    args: dict[str, Any]
    long: _load.Say
    job: Callable[[], Awaitable[str]]
    job_id: str = ""
    faults: list[Struck] = field(default_factory=list)

    async def kill(self, name: str) -> set[int]:
        return {self.actors.kill(name)}

    async def kill_job_runner(self) -> set[int]:
        """While it works on a job."""
        self.job_id = await self.job()
        while (await jobs.states(self.http, [self.job_id])) != [jobs.SPEAKING]:
            await asyncio.sleep(0.1)
        return await self.kill("JobRunner")

    async def lose_node(self) -> set[int]:
        """The one with the most actors, the head excepted."""
        alive = self.actors.alive()
        family = {node: {process.pid for process in _cluster.processes(node)} for node in self.cluster.nodes}
        node = max(family, key=lambda node: len(family[node] & alive.keys()))
        await asyncio.to_thread(self.cluster.kill_node, node)
        return family[node] & alive.keys()

    async def restart_gcs(self) -> set[int]:
        await asyncio.to_thread(self.cluster.restart_gcs, GCS_S)
        return set()

    async def join_node(self) -> set[int]:
        await asyncio.to_thread(self.cluster.add_node)
        return set()

    async def deploy(self, changes: dict[str, Any]) -> set[int]:
        """All deployments are replaced."""
        before = {pid for pid, name in self.actors.alive().items() if name in self.actors.deployments}
        await asyncio.to_thread(self.cluster.deploy, merged(self.args, changes))
        return before

    async def strike(self, name: str, fault: Callable[[Trial], Awaitable[set[int]]]) -> None:
        """With a long stream in progress."""
        self.client.ask(self.long)
        await asyncio.sleep(STREAMING_S)
        self.faults.append(struck := Struck(name, time.perf_counter()))
        gone = await fault(self)
        with suppress(TimeoutError):
            async with asyncio.timeout(BACK_S):
                await self.actors.until_back(gone)
                struck.back = time.perf_counter()


def killed(name: str) -> Callable[[Trial], Awaitable[set[int]]]:
    return lambda trial: trial.kill(name)


FAULTS: dict[str, Callable[[Trial], Awaitable[set[int]]]] = {
    "Gpt": killed("Gpt"),
    "Vocoder": killed("Vocoder"),
    "GptScheduler": killed("GptScheduler"),
    "VocoderScheduler": killed("VocoderScheduler"),
    "VoiceEncoder": killed("VoiceEncoder"),
    "TextFrontend": killed("TextFrontend"),
    "Ingress": killed("Ingress"),
    "HTTP proxy": killed(_actors.PROXY),
    "Serve controller": killed(_actors.CONTROLLER),
    "JobRunner": Trial.kill_job_runner,
    "head's GCS": Trial.restart_gcs,
    "node lost": Trial.lose_node,
    "node joined": Trial.join_node,
    "roll-out": lambda trial: trial.deploy(CHANGED),
    "roll-back": lambda trial: trial.deploy({}),
}


def merged(args: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """args with the keys of some sections changed."""
    return {**args, **{name: {**args.get(name, {}), **keys} for name, keys in changes.items()}}


async def undisturbed(http: httpx.AsyncClient, sayings: Sequence[_load.Say]) -> dict[_load.Say, bytes]:
    """The samples of each, spoken alone."""
    answers = [await _load.ask(http, say) for say in sayings]
    if bad := [answer.code for answer in answers if not answer.good]:
        raise SystemExit(f"without any fault, requests failed: {bad}")
    return {answer.say: answer.data for answer in answers}


async def job_samples(http: httpx.AsyncClient, job_id: str) -> bytes:
    """The file of a job, once it has ended."""
    await jobs.ended(http, job_id)
    return (await http.get(f"/v1/jobs/{job_id}/audio")).raise_for_status().content


async def tried(
    cluster: _cluster.Cluster, args: dict[str, Any], options: Any, console: Console
) -> dict[str, Any]:
    names = options.faults or list(FAULTS)
    period = 60 * options.minutes / (len(names) + 1)
    voices = [voice for voice in cluster.service.voices() if voice in options.voices]
    texts = _common.sentences(TEXTS)
    sayings = [_load.Say(text, voices[n % len(voices)], n) for n, text in enumerate(texts)]
    long = _load.Say(" ".join(_common.sentences(LONG)), voices[0], 1)
    async with _load.client(cluster.service.url) as http:
        known = await undisturbed(http, [*sayings, long])

        async def job() -> str:
            return await jobs.job_of(http, texts[:JOB], voices[0], seed=1)

        known_job = await job_samples(http, first := await job())
        await http.delete(f"/v1/jobs/{first}")
        client = Client(http, sayings, options.rate)
        trial = Trial(cluster, await asyncio.to_thread(_actors.Actors), client, http, args, long, job)
        running = asyncio.create_task(client.run())
        client.ask(long)  # as before each fault
        await asyncio.sleep(period)
        for number, name in enumerate(names, 2):
            await trial.strike(name, FAULTS[name])
            struck = trial.faults[-1]
            console.print(
                f"{name}: {f'back after {struck.back - struck.began:.1f} s' if struck.back else 'not back'}"
            )
            await asyncio.sleep(client.began + number * period - time.perf_counter())
        requests = await client.end()
        ended = time.perf_counter()
        await running
        same_job = await job_samples(http, trial.job_id) == known_job if trial.job_id else None
    return report(requests, known, trial.faults, client.began, ended) | {"job_identical": same_job}


def report(
    requests: Sequence[Request],
    known: dict[_load.Say, bytes],
    faults: Sequence[Struck],
    began: float,
    ended: float,
) -> dict[str, Any]:
    """A row for the time before the first fault, and one for each fault until the next.

    A request belongs to the last fault before its end.
    """
    first = faults[0].began if faults else ended
    quiet = [request.first_s for request in requests if request.ended < first and request.good]
    slow = SLOW * float(np.percentile(quiet, 99))
    rows = []
    for struck, after in itertools.pairwise([Struck(NONE, began), *faults, Struck("", ended)]):
        asked = [request for request in requests if struck.began <= request.ended < after.began]
        good = [request for request in asked if request.good]
        late = [request.asked + request.first_s - struck.began for request in good if request.first_s > slow]
        ttfa = [request.first_s for request in good]
        rows.append(
            {
                "fault": struck.name,
                "at_s": round(struck.began - began, 1),
                "requests": len(asked),
                "failed": [request.attempts[-1].code for request in asked if not request.good],
                "different": sum(request.differs(known[request.say]) for request in good),
                "broken": sum(request.breaks for request in asked),
                "asked_again": sum(request.breaks > 0 for request in asked),
                "ttfa_s": quantiles(ttfa) if ttfa else None,
                "back_s": round(struck.back - struck.began, 1) if struck.back else None,
                "slow_s": round(max(late, default=0.0), 1),
            }
        )
    points = [[round(r.asked - began, 2), round(r.first_s, 3)] for r in requests if r.good]
    return {"rows": rows, "points": points, "slow_from_s": round(slow, 3)}


def quantiles(values: Sequence[float]) -> dict[str, float]:
    return {f"p{q}": round(float(np.percentile(values, q)), 3) for q in (50, 99)}


def markdown(result: dict[str, Any]) -> str:
    lines = [HEADS, ["---"] * len(HEADS), *map(cells, result["rows"])]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def write_page(page: Path, result: dict[str, Any]) -> None:
    """Puts the table between the two marks of a page."""
    before, _, after = page.read_text("utf-8").split(MARK)
    page.write_text(MARK.join([before, markdown(result), after]), "utf-8")


def plot(out: Path, result: dict[str, Any]) -> None:
    with _plot.panels(out, "first sounds under faults", "TTFA of each request, s") as (axis,):
        axis.scatter(*zip(*result["points"], strict=True), s=4)
        axis.set_yscale("log")
        axis.set_xlabel("time of the request, s")
        for row in result["rows"][1:]:
            axis.axvline(row["at_s"], color="grey", linewidth=0.6)
            place = {"va": "top", "transform": axis.get_xaxis_transform()}
            axis.text(row["at_s"], 1.0, row["fault"], rotation=90, fontsize=5, **place)


def shown(result: dict[str, Any]) -> Table:
    table = Table(box=None, pad_edge=False)
    for head in HEADS:
        table.add_column(head, justify="left" if head == "fault" else "right")
    for row in result["rows"]:
        table.add_row(*cells(row))
    return table


def cells(row: dict[str, Any]) -> list[str]:
    counts = [row["requests"], len(row["failed"]), row["different"], row["broken"]]
    ttfa = [f"{row['ttfa_s'][q]:.2f}" for q in ("p50", "p99")] if row["ttfa_s"] else ["", ""]
    never = "" if row["fault"] == NONE else "never"
    back = never if row["back_s"] is None else f"{row['back_s']:.1f}"
    return [row["fault"], *map(str, counts), *ttfa, f"{row['slow_s']:.1f}", back]


def main() -> None:
    parser = _common.arguments("faults", __doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--rate", type=float, default=0.7, help="requests per second (0.7)")
    parser.add_argument("--faults", type=lambda text: text.split(","), help=f"some of: {', '.join(FAULTS)}")
    parser.add_argument("--page", type=Path, help="a page whose table is written, such as docs/faults.md")
    parser.add_argument(
        "--voices", type=lambda text: text.split(","), default=["angus", "clara", "kai", "ross"]
    )
    options = parser.parse_args()
    console = Console(width=140)
    result = {**_common.origin("faults"), "minutes": options.minutes, "rate": options.rate}
    args: dict[str, Any] = {}
    with _cluster.with_redis(), _cluster.running(args) as cluster:
        result |= asyncio.run(tried(cluster, args, options, console))
    console.print(shown(result))
    plot(options.out, result)
    if options.page is not None:
        write_page(options.page, result)
    _common.finish(options.out, result, console)


if __name__ == "__main__":
    main()
