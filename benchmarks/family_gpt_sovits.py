"""GPT-SoVITS v2Pro at full size with random weights: this engine against the published order of work, in one run.

`published` is benchmarks/published_gpt_sovits.py: one text at a time, growing caches, whole segments, fp32. `chorale`
is what `chorale speak` runs: continuous batching, and vocoding while codes are drawn. Both draw with the published
settings and the same weights until every text has the same number of codes. `chorale bf16` is the same with
`device.half: true`: the GPT and the decoder in bf16, on a CPU that has instructions for it. The voice is encoded
before the clock starts in both; the baseline repeats the part of it that the released code repeats. Each method runs in
its own process, so that its memory can be measured. Random weights do not produce speech; `make test` compares the
results with the golden set.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import _common
from deployments.contract.speech import Reference

WAYS = ("published", "chorale", "chorale bf16")
STAGES: tuple[str, ...] = ("gpt", "vocoder")
TRANSCRIPT = "The quick brown fox jumps over the lazy dog near the river bank."
SECONDS, RATE = 4, 32_000  # of the reference, which is noise
SEGMENT = 1000  # frames of 10 ms in the longest chunk
NAMES = {
    "batch": "requests",
    "way": "way",
    "rtf": "RTF",
    "first_sound_s": "first sound (median), s",
    "codes_per_s": "codes/s",
    "peak_gib": "peak GiB",
    "times_faster": "times faster",
}


def reference() -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal(SECONDS * RATE, np.float32)


def texts(count: int) -> list[str]:
    return _common.sentences(40)[:count]


def published(options: dict[str, Any], batch: int, codes: int) -> dict[str, Any]:
    """Speaks `batch` texts one after another."""
    from benchmarks.published_gpt_sovits import PublishedGpt, PublishedVits
    from deployments import families
    from deployments.engine.device.choose import choose_device
    from deployments.families.gpt_sovits.eres2net import Eres2Net
    from deployments.families.gpt_sovits.family import GptSovitsFamily

    family, device = families.load("gpt_sovits", options), choose_device("cpu")
    assert isinstance(family, GptSovitsFamily)
    gpt = PublishedGpt(family.gpt_file, family.gpt_file.tensors())
    speaker = Eres2Net.load(family.options.path("speaker"))
    vits = PublishedVits(family.sovits, family.sovits.tensors(), speaker)
    waveform = reference()
    prompt = family.voice_encoder(device).encode(Reference.of(waveform, RATE, TRANSCRIPT, "en")).tensors
    frontend = family.frontend(device)
    sampling = family.spec.sampling(max_tokens=codes)
    generator = torch.Generator().manual_seed(0)
    phones, known = (torch.from_numpy(prompt[name].astype(np.int64)) for name in ("phones", "codes"))

    def speak(text: str, spent: dict[str, float]) -> int:
        began = time.perf_counter()
        own = np.concatenate([s.token_ids for s in frontend.segments(text, "en")]).astype(np.int64)
        ids = torch.cat([phones, torch.from_numpy(own)])
        new = gpt.codes(ids, torch.zeros(len(ids), family.gpt_file.bert_width), known, sampling, generator)
        decoded = time.perf_counter()
        sound = vits.decode(new, torch.from_numpy(own), waveform, RATE)
        spent["gpt"] += decoded - began
        spent["vocoder"] += time.perf_counter() - decoded
        return len(sound)

    with torch.inference_mode():
        speak(texts(1)[0], dict.fromkeys(STAGES, 0.0))  # kernels are chosen on the first calls
        spent: dict[str, float] = dict.fromkeys(STAGES, 0.0)
        began, samples, first = time.perf_counter(), 0, []
        for text in texts(batch):
            samples += speak(text, spent)
            first.append(time.perf_counter() - began)
    return figures(first[-1], samples, batch * codes, float(np.median(first)), spent)


def chorale(options: dict[str, Any], batch: int, codes: int, threads: int, half: bool) -> dict[str, Any]:
    """`batch` requests at once. half: `device.half`."""
    from deployments.contract.options import ModelOptions
    from serve_app.backends.local import LocalBackend
    from serve_app.synthesis.speech import Speech
    from serve_app.synthesis.stream import Synthesizer

    model = {
        "family": {"name": "gpt_sovits", "options": options},
        "device": {"threads": threads, "preference": "cpu", "half": half},
        "gpt": {"slots": batch},
        "vocoder_chunk_size": SEGMENT,
    }
    backend = LocalBackend(ModelOptions.model_validate(model)).wait()
    synthesizer = Synthesizer(backend)
    spent: dict[str, float] = dict.fromkeys(STAGES, 0.0)
    for name in spent:
        _timed(backend.workers[name], spent, name)

    async def run(count: int) -> tuple[float, int, list[float]]:
        prompt = await backend.encode_voice(Reference.of(reference(), RATE, TRANSCRIPT, "en"))
        spent.update(dict.fromkeys(spent, 0.0))
        began, first = time.perf_counter(), []

        async def speak(text: str, seed: int) -> int:
            # the text is one segment, as in the baseline, and no silence is added
            wanted = {"text_split_method": 0, "fragment_interval": 0}
            sampling, samples = backend.spec.sampling(wanted, seed=seed, max_tokens=count), 0
            async for piece in synthesizer.stream(Speech(text, prompt, sampling, "en")).sound:
                if not samples:
                    first.append(time.perf_counter() - began)
                samples += len(piece)
            return samples

        lengths = await asyncio.gather(*(speak(text, seed) for seed, text in enumerate(texts(batch))))
        return time.perf_counter() - began, sum(lengths), first

    asyncio.run(run(12))
    total, samples, first = asyncio.run(run(codes))
    backend.close()
    return figures(total, samples, batch * codes, float(np.median(first)), spent)


def figures(
    total: float, samples: int, codes: int, first_s: float, spent: dict[str, float]
) -> dict[str, Any]:
    import resource

    seconds = samples / RATE
    return {
        "total_s": round(total, 2),
        "audio_s": round(seconds, 2),
        "rtf": round(total / seconds, 3),
        "first_sound_s": round(first_s, 2),
        "codes_per_s": round(codes / spent["gpt"], 1),
        "stages_s": {name: round(value, 2) for name, value in spent.items()},
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def _timed(worker: Any, spent: dict[str, float], key: str) -> None:
    """Adds the duration of every step to spent[key]."""
    step = worker.step

    def timed() -> Any:
        began = time.perf_counter()
        try:
            return step()
        finally:
            spent[key] += time.perf_counter() - began

    worker.step = timed


def _in_its_own_process(
    way: str, files: dict[str, Any], batch: int, options: argparse.Namespace
) -> dict[str, Any]:
    command = [
        sys.executable,
        "-m",
        "benchmarks.family_gpt_sovits",
        "--way",
        way,
        "--files",
        json.dumps(files),
    ]
    command += ["--batch", str(batch), "--codes", str(options.codes), "--threads", str(options.threads)]
    done = subprocess.run(command, cwd=_common.ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(files: dict[str, Any], options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for batch in options.batch:
        found = {way: _in_its_own_process(way, files, batch, options) for way in options.ways}
        for way in options.ways:
            row = {"batch": batch, "way": way, **found[way]}
            if way != "published" and "published" in found:
                row["times_faster"] = round(found["published"]["rtf"] / found[way]["rtf"], 2)
            rows.append(row)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument(
        "--files", type=json.loads, help="family.options in JSON; default: random tensors of v2Pro"
    )
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], help="requests at once")
    parser.add_argument("--codes", type=int, default=100, help="of each text; 100 are 4 s")
    parser.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False) or 1)
    parser.add_argument(
        "--out", type=Path, default=_common.ROOT / "benchmarks/results/family_gpt_sovits.json"
    )
    parser.add_argument("--ways", choices=WAYS, nargs="+", default=WAYS, help="default: all")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.way:
        (batch,) = options.batch
        if options.way == "published":
            result = published(options.files, batch, options.codes)
        else:
            half = options.way == "chorale bf16"
            result = chorale(options.files, batch, options.codes, options.threads, half)
        print(json.dumps(result))
        return
    machine = _common.machine()
    with tempfile.TemporaryDirectory() as scratch:
        files = options.files
        if files is None:
            from tests.golden.random_gpt_sovits import make

            files = {"model_dir": str(make(Path(scratch))), "version": "v2Pro"}
        rows = compare(files, options)
    shown = Table(box=None, pad_edge=False)
    for name in NAMES.values():
        shown.add_column(name)
    for row in rows:
        shown.add_row(*(str(row.get(key, "")) for key in NAMES))
    Console(width=120).print(shown)
    settings = {name: getattr(options, name) for name in ("codes", "threads")}
    result = {**_common.provenance("benchmarks.family_gpt_sovits"), "machine": machine, "settings": settings}
    _common.save(options.out, result | {"rows": rows})


if __name__ == "__main__":
    main()
