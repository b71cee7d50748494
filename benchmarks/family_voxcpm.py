"""VoxCPM at full size with random weights: this engine against the published order of work, in one run.

`published` is benchmarks/published_voxcpm.py: one request at a time. Several requests take it several times as long, so
one is measured. `chorale` is what `chorale speak` runs: continuous batching, a cached voice, and chunks that are
vocoded while patches are still being made. In bf16, both multiply in bf16 (`device.half: true`); in fp32, chorale keeps
the weights in 16 bits and multiplies in fp32. All use the same weights and steps of diffusion, the same number of
patches and of threads. Each runs in its own process, so that its memory can be measured. Random weights do not produce
speech; `make test` compares the results with the golden set.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import soundfile
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import _common
from deployments.contract.speech import Reference, VoicePrompt

VOICE = _common.ROOT / "deployments" / "families" / "small" / "voices" / "clara"
TEXT = "The weather is very nice today, so we walk in the park."
SECONDS = 3.0  # of the recording
FIELD = {"0.5B": 19, "1.5": 21, "2": 20}  # latent frames that a sample of the decoder depends on
REPEATS = 5
DTYPES = {"bf16": torch.bfloat16, "fp32": torch.float32}


def recording() -> tuple[np.ndarray, int, str]:
    """The beginning of a shipped voice, and a transcript of about its length."""
    waveform, rate = soundfile.read(f"{VOICE}.flac", dtype="float32")
    transcript = json.loads(Path(f"{VOICE}.json").read_text("utf-8"))["transcript"]
    return waveform[: int(SECONDS * rate)], rate, transcript[:45]


def published(folder: Path, dtype: torch.dtype, patches: int, steps: int) -> dict[str, Any]:
    from torchaudio.functional import resample

    from benchmarks.published_voxcpm import PublishedVoxCpm

    model = PublishedVoxCpm(folder, dtype, steps)
    waveform, rate, transcript = recording()
    vae = model.config.audio_vae_config

    def prompt() -> torch.Tensor:
        return resample(torch.from_numpy(waveform), rate, vae.sample_rate)

    model.generate(TEXT, prompt(), transcript, max_len=1)  # kernels are chosen on the first calls
    began = time.perf_counter()
    next(model.stream(TEXT, prompt(), transcript, max_len=patches))
    first = time.perf_counter() - began
    began, used = time.perf_counter(), time.process_time()
    sound = model.generate(TEXT, prompt(), transcript, max_len=patches)
    total, used = time.perf_counter() - began, time.process_time() - used
    found = _figures(total, used, len(sound) / vae.out_rate, patches)
    return found | {"first_sound_s": round(first, 3), "first_sound_known_voice_s": round(first, 3)}


def chorale(
    folder: Path, dtype: torch.dtype, batch: int, patches: int, steps: int, threads: int
) -> dict[str, Any]:
    """`batch` requests at once, from text and recording to samples; then again with the voice in the caches."""
    from deployments.contract.options import ModelOptions
    from deployments.engine.vocode.schedule import ChunkSchedule
    from serve_app.backends.local import LocalBackend
    from serve_app.synthesis.speech import Speech
    from serve_app.synthesis.stream import Synthesizer

    options = {
        "family": {"name": "voxcpm", "options": {"model_dir": str(folder), "max_length": 512}},
        "device": {"preference": "cpu", "threads": threads, "half": dtype == torch.bfloat16},
        "gpt": {"slots": batch},
        "chunks": {"first": 1},
        "sampling": {"inference_timesteps": steps},
    }
    backend = LocalBackend(ModelOptions.model_validate(options)).wait()
    device = asyncio.run(backend.status())["device"]
    if device["dtype"] != str(dtype).removeprefix("torch."):
        sys.exit(f"{dtype} cannot be measured here: {device['reason']}")
    synthesizer = Synthesizer(backend, chunks=ChunkSchedule(1, 2.0, 20))
    waveform, rate, transcript = recording()

    async def speak(
        prompt: asyncio.Future[VoicePrompt], seed: int, count: int, began: float
    ) -> tuple[float, int]:
        sampling = backend.spec.sampling({"retry_badcase": False}, seed=seed, max_tokens=count)
        first, samples = 0.0, 0
        async for piece in synthesizer.stream(Speech(TEXT, await prompt, sampling)).sound:
            first = first or time.perf_counter() - began
            samples += len(piece)
        return first, samples

    async def run(count: int, voice: np.ndarray) -> tuple[float, float, float]:
        """Total seconds, seconds of sound, and the median time of the first sound."""
        began = time.perf_counter()
        prompt = asyncio.ensure_future(backend.encode_voice(Reference.of(voice, rate, transcript)))
        spoken = await asyncio.gather(*(speak(prompt, seed, count, began) for seed in range(batch)))
        total = time.perf_counter() - began
        sound = sum(samples for _, samples in spoken) / backend.spec.sample_rate
        return total, sound, float(np.median([first for first, _ in spoken]))

    asyncio.run(run(2, waveform[::-1].copy()))
    used = time.process_time()
    total, sound, first = asyncio.run(run(patches, waveform))
    used = time.process_time() - used
    *_, again = asyncio.run(run(2, waveform))
    backend.close()
    found = _figures(total, used, sound, batch * patches)
    return found | {"first_sound_s": round(first, 3), "first_sound_known_voice_s": round(again, 3)}


def vocoder(folder: Path, version: str) -> dict[str, Any]:
    """A chunk of one patch: with the decoder's state, and by decoding all that it depends on again."""
    from deployments.families.voxcpm.checkpoint import read_vae
    from deployments.families.voxcpm.config import read_config

    config = read_config(folder)
    decoder = read_vae(folder, config).decoder(torch.device("cpu"))
    one, all_frames = config.patch_size, config.patch_size + FIELD[version]

    def timed(frames: int) -> float:
        latents, state = torch.randn(1, config.feat_dim, frames), decoder.silence()
        with torch.inference_mode():
            return _fastest(lambda: decoder(latents, state))

    figures = {"with_state_ms": timed(one), "with_context_ms": timed(all_frames)}
    return {name: round(1000 * value, 1) for name, value in figures.items()} | {
        "state_kib": round(4 * decoder.state / 1024)
    }


def _fastest(call: Callable[[], Any]) -> float:
    call()
    times = []
    for _ in range(REPEATS):
        began = time.perf_counter()
        call()
        times.append(time.perf_counter() - began)
    return min(times)


def _figures(total: float, used: float, seconds: float, patches: int) -> dict[str, Any]:
    """used: processor seconds, which other work on the machine changes less than the total."""
    return {
        "total_s": round(total, 2),
        "audio_s": round(seconds, 2),
        "rtf": round(total / seconds, 2),
        "patches_per_s": round(patches / total, 2),
        "cpu_s_per_patch": round(used / patches, 3),
        "peak_gib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20, 2),
    }


def _in_its_own_process(way: str, folder: Path, dtype: str, batch: int, options: argparse.Namespace) -> Any:
    command = [sys.executable, "-m", "benchmarks.family_voxcpm", "--way", way, "--folder", str(folder)]
    command += ["--dtype", dtype, "--batch", str(batch), "--patches", str(options.patches)]
    command += ["--threads", str(options.threads), "--steps", str(options.steps)]
    done = subprocess.run(command, cwd=_common.ROOT, check=True, stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(folder: Path, version: str, dtype: str, options: argparse.Namespace) -> list[dict[str, Any]]:
    about = {"version": version, "dtype": dtype}
    baseline = _in_its_own_process("published", folder, dtype, 1, options)
    rows = [about | {"way": "published", "batch": 1} | baseline]
    for batch in options.batch:
        found = _in_its_own_process("chorale", folder, dtype, batch, options)
        found["times"] = round(baseline["rtf"] / found["rtf"], 2)
        found["cpu_times"] = round(baseline["cpu_s_per_patch"] / found["cpu_s_per_patch"], 2)
        rows.append(about | {"way": "chorale", "batch": batch} | found)
    return rows


def table(rows: Sequence[dict[str, Any]]) -> Table:
    names = {
        "version": "version",
        "dtype": "dtype",
        "way": "way",
        "batch": "requests",
        "rtf": "RTF",
        "patches_per_s": "patches/s",
        "cpu_s_per_patch": "CPU s/patch",
        "first_sound_s": "first sound, s",
        "first_sound_known_voice_s": "with a known voice, s",
        "peak_gib": "peak GiB",
        "times": "x published",
        "cpu_times": "x CPU time",
    }
    shown = Table(box=None, pad_edge=False)
    for name in names.values():
        shown.add_column(name)
    for row in rows:
        shown.add_row(*(str(row.get(key, "")) for key in names))
    return shown


def main() -> None:
    parser = _common.arguments("family_voxcpm", __doc__)
    parser.add_argument("--folder", type=Path, help="a checkpoint of --version; default: random tensors")
    parser.add_argument("--version", choices=("0.5B", "1.5"), nargs="+", default=["0.5B", "1.5"])
    parser.add_argument("--batch", type=int, nargs="+", default=[1, 8], help="requests at once")
    parser.add_argument("--patches", type=int, default=12, help="of each request; 12 of 1.5 are 1.9 s")
    parser.add_argument("--steps", type=int, default=10, help="of the diffusion")
    parser.add_argument("--threads", type=int, default=psutil.cpu_count(logical=False) or 1)
    parser.add_argument("--dtype", choices=DTYPES, nargs="+", default=list(DTYPES))
    parser.add_argument("--way", choices=("published", "chorale"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.way:
        print(json.dumps(_one(options)))
        return
    origin, console, rows, decoders = _common.origin("family_voxcpm"), Console(width=140), [], {}
    for version in options.version:
        with tempfile.TemporaryDirectory() as scratch:
            folder = options.folder
            if folder is None:
                from tests.golden.random_voxcpm import make

                folder = make(Path(scratch), version)
            for dtype in options.dtype:
                rows += compare(folder.resolve(), version, dtype, options)
            decoders[version] = vocoder(folder.resolve(), version)
    console.print(table(rows))
    console.print("AudioVAE's decoder, one patch:", decoders)
    settings = {name: getattr(options, name) for name in ("patches", "steps", "threads")}
    _common.finish(options.out, {**origin, "settings": settings, "rows": rows, "decoder": decoders}, console)


def _one(options: argparse.Namespace) -> dict[str, Any]:
    (batch,), (dtype,), work = options.batch, options.dtype, (options.patches, options.steps)
    if options.way == "chorale":
        return chorale(options.folder, DTYPES[dtype], batch, *work, options.threads)
    return published(options.folder, DTYPES[dtype], *work)


if __name__ == "__main__":
    main()
