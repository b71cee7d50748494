"""IndexTTS at full size with random weights: this engine against the published order of work, in one run.

`published` is benchmarks/published_indextts.py: one sentence at a time, two GPT passes, whole-utterance vocoding, fp32.
`chorale` is what `chorale speak` runs: continuous batching, latents from the decode step, chunked vocoding while codes
are still being sampled. Both sample one beam with the published settings and the same weights until every sentence has
the same number of codes. Each method runs in its own process, so that its memory can be measured. Random weights do not
produce speech, so there is no word error rate; `make test` compares the results with the golden set.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import _common
from deployments.contract.family import Frontend
from deployments.contract.speech import Reference, VoicePrompt

REFERENCE = _common.ROOT / "deployments" / "families" / "small" / "voices" / "clara.flac"
WAYS = ("published", "chorale")


def texts(frontend: Frontend, count: int) -> list[str]:
    """The first test sentences that consist of one segment."""
    found = [text for text in _common.sentences(40) if len(frontend.segments(text)) == 1]
    if len(found) < count:
        raise SystemExit(f"--batch {count}: there are {len(found)} sentences of one segment")
    return found[:count]


def published(folder: Path, batch: int, codes: int) -> dict[str, Any]:
    """Speaks `batch` sentences one after another."""
    from benchmarks.published_indextts import PublishedIndexTts
    from deployments import families

    model = PublishedIndexTts(folder)
    family = families.load("indextts", {"model_dir": str(folder)})
    sampling = family.spec.sampling(max_tokens=codes)
    frontend = family.frontend()
    ids = [torch.from_numpy(frontend.segments(text)[0].token_ids) for text in texts(frontend, batch)]
    with torch.inference_mode():
        mel = _mel()
        spent: dict[str, float] = dict.fromkeys(("voice", "gpt", "second pass", "vocoder"), 0.0)
        _timed(model, "conditioner", spent, "voice")
        _timed(model, "_speaker", spent, "voice")
        _timed(model.gpt, "decode", spent, "gpt")
        _timed(model.gpt, "latents", spent, "second pass")
        heard: list[float] = []
        _timed(model.vocoder, "forward", spent, "vocoder", heard)
        model.infer(ids[:1], mel, replace(sampling, max_tokens=4))  # kernels are chosen on the first calls
        spent.update(dict.fromkeys(spent, 0.0))
        heard.clear()
        began = time.perf_counter()
        sounds = model.infer(ids, mel, sampling)
        total = time.perf_counter() - began
    first_s = float(np.median(heard)) - began
    return _figures(total, sum(len(sound) for sound in sounds), batch, codes, first_s, spent)


def chorale(folder: Path, batch: int, codes: int, threads: int, positions: str) -> dict[str, Any]:
    """`batch` requests at once, from text and reference to samples."""
    from deployments.contract.options import ModelOptions
    from serve_app.backends.local import LocalBackend
    from serve_app.synthesis.speech import Speech
    from serve_app.synthesis.stream import Synthesizer

    family = {"name": "indextts", "options": {"model_dir": str(folder), "positions": positions}}
    encoder = {"cache_size": 0}  # the baseline encodes the voice every time
    options = {"family": family, "device": {"threads": threads}, "gpt": {"slots": batch}}
    backend = LocalBackend(ModelOptions.model_validate({**options, "voice_encoder": encoder})).wait()
    synthesizer = Synthesizer(backend)
    waveform, rate = soundfile.read(REFERENCE, dtype="float32")
    spent: dict[str, float] = dict.fromkeys(("voice", "gpt", "vocoder"), 0.0)
    for name in ("gpt", "vocoder"):
        _timed(backend.workers[name], "step", spent, name)
    first: list[float] = []

    async def encoded() -> VoicePrompt:
        began = time.perf_counter()
        prompt = await backend.encode_voice(Reference.of(waveform, rate))
        spent["voice"] += time.perf_counter() - began
        return prompt

    async def speak(text: str, seed: int, count: int, began: float) -> int:
        prompt = await prompts
        sampling = backend.spec.sampling(seed=seed, max_tokens=count)
        samples = 0
        async for piece in synthesizer.stream(Speech(text, prompt, sampling)).sound:
            if not samples:
                first.append(time.perf_counter() - began)
            samples += len(piece)
        return samples

    async def run(count: int) -> tuple[float, int]:
        nonlocal prompts
        began = time.perf_counter()
        prompts = asyncio.ensure_future(encoded())  # once for all sentences
        lengths = await asyncio.gather(*(speak(text, i, count, began) for i, text in enumerate(spoken)))
        return time.perf_counter() - began, sum(lengths)

    prompts: Any = None
    spoken = texts(backend.family.frontend(), batch)
    asyncio.run(run(4))
    spent.update(dict.fromkeys(spent, 0.0))
    first.clear()
    total, samples = asyncio.run(run(codes))
    backend.close()
    return _figures(total, samples, batch, codes, float(np.median(first)), spent)


def _figures(
    total: float, samples: int, batch: int, codes: int, first_s: float, spent: dict[str, float]
) -> dict[str, Any]:
    seconds = samples / 24000
    decoding = spent["gpt"] + spent.get("second pass", 0.0)
    return {
        "total_s": round(total, 2),
        "audio_s": round(seconds, 2),
        "rtf": round(total / seconds, 3),
        "first_sound_s": round(first_s, 2),
        "codes_per_s": round(batch * codes / decoding, 1),
        "vocoder_rtf": round(spent["vocoder"] / seconds, 3),
        "stages_s": {name: round(value, 2) for name, value in spent.items()},
        "peak_gib": round(_peak() / 2**30, 2),
    }


def _timed(owner: Any, name: str, spent: dict[str, float], key: str, ends: list[float] | None = None) -> None:
    """Adds the duration of every call of `owner.name` to spent[key], and its end to `ends`."""
    call = getattr(owner, name)

    def timed(*args: Any, **options: Any) -> Any:
        began = time.perf_counter()
        try:
            return call(*args, **options)
        finally:
            spent[key] += time.perf_counter() - began
            if ends is not None:
                ends.append(time.perf_counter())

    if isinstance(call, torch.nn.Module):
        call.forward, inner = timed, call.forward
        call = inner
    else:
        setattr(owner, name, timed)


def _mel() -> torch.Tensor:
    from deployments.families.indextts.config import SAMPLE_RATE
    from deployments.families.indextts.mel import LogMel
    from deployments.families.resampling import resample

    waveform, rate = soundfile.read(REFERENCE, dtype="float32")
    return LogMel()(resample(waveform, rate, SAMPLE_RATE).unsqueeze(0))


def _peak() -> int:
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def _in_its_own_process(way: str, folder: Path, batch: int, options: argparse.Namespace) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.family_indextts", "--way", way, "--folder", str(folder)]
    command += ["--batch", str(batch), "--codes", str(options.codes), "--threads", str(options.threads)]
    command += ["--positions", options.positions]
    done = subprocess.run(command, cwd=_common.ROOT, check=True, capture_output=True, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(folder: Path, options: argparse.Namespace) -> list[dict[str, Any]]:
    rows = []
    for batch in options.batch:
        found = {way: _in_its_own_process(way, folder, batch, options) for way in WAYS}
        ratio = found["published"]["rtf"] / found["chorale"]["rtf"]
        rows += [{"batch": batch, "way": way, **found[way]} for way in WAYS]
        rows[-1]["times_faster"] = round(ratio, 2)
    return rows


def table(rows: Sequence[dict[str, Any]]) -> Table:
    names = {
        "batch": "sentences",
        "way": "way",
        "rtf": "RTF",
        "first_sound_s": "first sound (median), s",
        "codes_per_s": "codes/s",
        "vocoder_rtf": "vocoder RTF",
        "peak_gib": "peak GiB",
        "times_faster": "times faster",
    }
    shown = Table(box=None, pad_edge=False)
    for name in names.values():
        shown.add_column(name)
    for row in rows:
        shown.add_row(*(str(row.get(key, "")) for key in names))
    return shown


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="a checkpoint; default: random tensors")
    parser.add_argument("--version", choices=("1.0", "1.5"), default="1.5", help="of the random one")
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], help="sentences at once")
    parser.add_argument("--codes", type=int, default=128, help="of each sentence; 128 are 5.5 s")
    parser.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False) or 1)
    parser.add_argument("--positions", choices=("trained", "published"), default="trained", help="of ours")
    parser.add_argument("--out", type=Path, default=_common.ROOT / "benchmarks/results/family_indextts.json")
    parser.add_argument("--way", choices=WAYS, help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.way:
        (batch,) = options.batch
        if options.way == "published":
            result = published(options.folder, batch, options.codes)
        else:
            result = chorale(options.folder, batch, options.codes, options.threads, options.positions)
        print(json.dumps(result))
        return
    machine = _common.machine()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder
        if folder is None:
            from tests.golden.random_indextts import make

            folder = make(Path(scratch), options.version)
        rows = compare(folder.resolve(), options)
    Console(width=140).print(table(rows))
    settings = {name: getattr(options, name) for name in ("version", "codes", "threads", "positions")}
    result = {**_common.provenance("benchmarks.family_indextts"), "machine": machine, "settings": settings}
    _common.save(options.out, result | {"rows": rows})


if __name__ == "__main__":
    main()
