"""Jobs over HTTP: the throughput of a whole job, and the first sound of other requests while two jobs run.

Throughput: eight clients that send sentence after sentence (as in serve_load), and a job of the same sentences with the
default number in progress, in turns. The job's time begins with its request and ends when its file is ready, so it
includes planning, levelling and encoding. First sound: one client alone, then with two jobs running.
"""

from __future__ import annotations

import asyncio
import statistics
import time
from typing import Any

import httpx
from rich.console import Console
from rich.table import Table

from benchmarks import _common, _load, _service, _statistics

POLL_S = 0.1
BUSY = ("queued", "initialising", "generating", "converting")
SPEAKING = "generating"
OPENINGS = ("", "Well, ", "Then, ", "Today, ")  # a job speaks equal sentences once
LONGER = ("So, ", "Now, ", "Here, ", "Later, ", "Often, ", "Still, ")  # for jobs that outlast the clients


async def job_of(http: httpx.AsyncClient, texts: list[str], voice: str, seed: int) -> str:
    body = {"input": "\n\n".join(texts), "voice": voice, "seed": seed, "format": "wav", "paragraph_pause": 0}
    answer = await http.post("/v1/jobs", json=body)
    return answer.raise_for_status().json()["id"]


async def ended(http: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    while (job := (await http.get(f"/v1/jobs/{job_id}")).raise_for_status().json())["state"] in BUSY:
        await asyncio.sleep(POLL_S)
    if job["state"] != "done":
        raise SystemExit(f"a job ended as {job['state']}: {job['error']}")
    return job


async def states(http: httpx.AsyncClient, jobs: list[str]) -> list[str]:
    return [(await http.get(f"/v1/jobs/{job}")).raise_for_status().json()["state"] for job in jobs]


async def throughputs(url: str, voice: str, texts: list[str], seed: int) -> tuple[float, float]:
    """Seconds of sound per second: of eight clients, and of a job. The pauses of the job's file do not count."""
    sayings = [_load.Say(text, voice, seed=seed) for text in texts]
    clients = (await _load.closed_loop(url, sayings, 8)).audio_per_s
    async with _load.client(url) as http:
        began = time.perf_counter()
        job_id = await job_of(http, texts, voice, seed)
        job = await ended(http, job_id)
        took = time.perf_counter() - began
        await http.delete(f"/v1/jobs/{job_id}")
    return clients, job["progress"]["audio_seconds"] / took


async def first_sounds(url: str, voice: str, texts: list[str], seed: int) -> list[float]:
    """The first sound of one client, for each text."""
    load = await _load.closed_loop(url, [_load.Say(text, voice, seed=seed) for text in texts], 1)
    return [answer.first_s for answer in load.answers if answer.good]


async def beside_jobs(url: str, voice: str, texts: list[str], book: list[str], seed: int) -> list[float]:
    """As `first_sounds`, while two jobs of the texts `book` generate."""
    async with _load.client(url) as http:
        jobs = [await job_of(http, book, voice, seed + n) for n in (1, 2)]
        while await states(http, jobs) != [SPEAKING] * 2:
            await asyncio.sleep(POLL_S)
        found = await first_sounds(url, voice, texts, seed)
        after = await states(http, jobs)
        for job in jobs:
            await http.post(f"/v1/jobs/{job}/cancel")
    if after != [SPEAKING] * 2:
        raise SystemExit(f"the jobs ended before the clients did ({', '.join(after)})")
    return found


async def measured(url: str, voice: str, options: Any, console: Console) -> dict[str, Any]:
    texts, seed = _common.sentences(options.requests), options.seed
    different, longer = (
        [f"{opening}{text}" for opening in some for text in texts] for some in (OPENINGS, OPENINGS + LONGER)
    )
    await _load.closed_loop(url, [_load.Say("Warm up once.", voice, seed=0)], 1)
    pairs = []
    for n in range(options.repeat):
        console.print(f"throughput, {n + 1} of {options.repeat} …")
        pairs.append(await throughputs(url, voice, different, seed + 1000 * n))
    console.print("first sound …")
    alone = await first_sounds(url, voice, texts, seed)
    beside = await beside_jobs(url, voice, texts, longer, seed)
    again = await first_sounds(url, voice, texts, seed)
    return {
        "throughput": {
            "clients_audio_s_per_s": [round(clients, 2) for clients, _ in pairs],
            "job_audio_s_per_s": [round(job, 2) for _, job in pairs],
            "ratio": round(statistics.median(job / clients for clients, job in pairs), 3),
        },
        "ttfa_s": {
            "alone": _statistics.percentiles(alone + again),
            "beside_two_jobs": _statistics.percentiles(beside),
            "ratio": _statistics.ratio_of_medians(beside, alone + again).figures(2),
        },
    }


def table(found: dict[str, Any]) -> Table:
    shown = Table(box=None, pad_edge=False)
    for name in ("", "baseline", "with jobs", "ratio"):
        shown.add_column(name, justify="right" if name else "left")
    rate, first = found["throughput"], found["ttfa_s"]
    medians = [statistics.median(rate[name]) for name in ("clients_audio_s_per_s", "job_audio_s_per_s")]
    shown.add_row("audio s/s", *(f"{median:.2f}" for median in medians), f"{rate['ratio']:.2f}")
    times = [f"{1000 * first[name]['p50']:.0f}" for name in ("alone", "beside_two_jobs")]
    ratio = first["ratio"]
    shown.add_row("TTFA p50, ms", *times, f"{ratio['value']:.2f} [{ratio['low']:.2f}, {ratio['high']:.2f}]")
    return shown


def main() -> None:
    parser = _service.arguments("jobs", __doc__)
    parser.add_argument("--url", help="of a running service; then none is started")
    parser.add_argument("--voice", default="clara")
    parser.add_argument(
        "--requests", type=int, default=40, help="sentences; a measured job has four times as many (40)"
    )
    parser.add_argument("--repeat", type=int, default=3, help="measurements of the throughput (3)")
    options = parser.parse_args()

    console, result = Console(width=120), _common.origin("jobs")
    with _service.running(options.config, url=options.url) as service:
        result |= asyncio.run(measured(service.url, options.voice, options, console))
    console.print(table(result))
    _common.finish(options.out, result, console)


if __name__ == "__main__":
    main()
