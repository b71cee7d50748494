"""The step of benchmarks.gpu with 1 to 64 requests at once: first sounds, codes and seconds of sound per second."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

from benchmarks import _gpu_family
from benchmarks._gpu_common import on_device_thread, weights
from benchmarks._gpu_voices import Voices
from benchmarks.published_gpt_sovits import PublishedGpt, PublishedVits
from deployments import assembly
from deployments.contract.speech import VoicePrompt
from deployments.engine.device.choose import choose_device
from deployments.families.gpt_sovits.eres2net import Eres2Net
from deployments.families.gpt_sovits.family import GptSovitsFamily
from serve_app.synthesis.room import Room
from serve_app.synthesis.segment import SegmentStream
from serve_app.synthesis.speech import Faults, Speech

PUBLISHED = (1, 8)  # requests that the published order of work gets


@dataclass(frozen=True)
class Heard:
    first_s: float
    samples: int
    codes: int


def listeners(
    family: str, folder: str | None, device: str, listeners: list[int], rounds: int, tokens: int, most: int
) -> dict[str, Any]:
    """Each request is one segment of `most` codes in one voice. GPT-SoVITS: the published order of work, too."""
    baseline = published(folder, device, listeners, tokens, most) if family == "gpt_sovits" and folder else []
    speaking = Voices(family, folder, device, max(listeners), 1)
    faults = Faults()
    try:
        prompt, captured, rows = speaking.prompt(0), speaking.captured(), []
        for count in listeners:
            turns = range(rounds + 1)  # the first one is a warm-up
            spoken = [
                speaking.owner.run(_all(speaking, faults, prompt, count, turn, tokens, most))
                for turn in turns
            ]
            rows.append({"requests": count} | min((_row(speaking, *one) for one in spoken[1:]), key=_total))
        captured_at_end = speaking.captured()
        status = speaking.owner.run(speaking.backend.status())
    finally:
        speaking.close()
    return {
        "weights": weights(folder),
        "device": status["device"],
        "codes_of_a_request": most,
        "rows": [*baseline, *rows],
        "checks": {
            "every request sounds": all(row["sounding"] == row["requests"] for row in rows),
            "none was cut off or tried again": not (faults.retried or faults.cut),
            "nothing was captured after the start": captured == captured_at_end,
        },
    }


async def _all(
    speaking: Voices, faults: Faults, prompt: VoicePrompt, count: int, turn: int, tokens: int, most: int
) -> tuple[list[Heard], float]:
    """What each request heard, and the seconds of all together."""
    family, backend = speaking.family, speaking.backend
    chunks = assembly.schedule(speaking.options, family.spec)
    began = time.perf_counter()

    async def hear(number: int) -> Heard:
        steady = _gpu_family.lasting(family)
        request = _gpu_family.request(family, number, prompt, tokens, max_tokens=most, **steady)
        speech = Speech("", prompt, request.sampling, id=f"{count}.{turn}.{number}")
        stream = SegmentStream(backend, chunks, faults, Room(), speech, 0, request.segment)
        first, samples = 0.0, 0
        while (piece := await stream.next()) is not None:
            first, samples = first or time.perf_counter() - began, samples + len(piece)
        return Heard(first, samples, stream.codes)

    return await asyncio.gather(*map(hear, range(count))), time.perf_counter() - began


def _row(speaking: Voices, heard: list[Heard], total_s: float) -> dict[str, Any]:
    seconds = sum(one.samples for one in heard) / speaking.family.spec.sample_rate
    return {
        **_figures([one.first_s for one in heard], total_s),
        "codes_per_s": round(sum(one.codes for one in heard) / total_s, 1),
        "audio_s_per_s": round(seconds / total_s, 2),
        "sounding": sum(one.samples > 0 for one in heard),
    }


def _total(row: dict[str, Any]) -> float:
    return row["total_s"]


def published(folder: str, device: str, listeners: list[int], tokens: int, most: int) -> list[dict[str, Any]]:
    """GPT-SoVITS v2Pro in the published order of work: one request after another, on a GPU with the GPT in fp16."""

    @torch.inference_mode()
    def measure() -> dict[str, Any]:
        family, chosen = _gpu_family.load("gpt_sovits", folder), choose_device(device, threads=1)
        assert isinstance(family, GptSovitsFamily)
        on, dtype = chosen.torch_device, torch.float16 if chosen.kind == "cuda" else torch.float32
        gpt = PublishedGpt(family.gpt_file, family.gpt_file.tensors(), on, dtype)
        speaker = Eres2Net.load(family.options.path("speaker"))
        vits = PublishedVits(family.sovits, family.sovits.tensors(), speaker, on)
        waveform, rate = _gpu_family.recording(0)
        voice, generator = _gpu_family.prompt(family).tensors, torch.Generator(on)
        phones, codes = (torch.from_numpy(voice[name]).to(on) for name in ("phones", "codes"))

        def speak(number: int) -> int:
            request = _gpu_family.request(
                family,
                number,
                _gpu_family.prompt(family),
                tokens,
                max_tokens=most,
                **_gpu_family.lasting(family),
            )
            own = torch.from_numpy(request.segment.token_ids).to(on)
            ids = torch.cat([phones, own])
            bert = torch.zeros(len(ids), family.gpt_file.bert_width, dtype=dtype, device=on)
            said = gpt.codes(ids, bert, codes, request.sampling, generator)
            return len(vits.decode(said, own, waveform, rate).cpu())

        speak(0)
        rows = []
        for count in (count for count in PUBLISHED if count <= max(listeners)):
            began, first, samples = time.perf_counter(), [], 0
            for number in range(count):
                samples += speak(number)
                first.append(time.perf_counter() - began)
            seconds = samples / family.spec.sample_rate
            row = {"published": count, **_figures(first, first[-1])}
            rows.append(row | {"audio_s_per_s": round(seconds / first[-1], 2)})
        return {"rows": rows}

    return on_device_thread(measure)["rows"]


def _figures(first_s: list[float], total_s: float) -> dict[str, Any]:
    p50, p95 = np.quantile(first_s, [0.5, 0.95])
    return {
        "first_sound_p50_ms": round(1e3 * p50, 1),
        "first_sound_p95_ms": round(1e3 * p95, 1),
        "total_s": round(total_s, 3),
    }
