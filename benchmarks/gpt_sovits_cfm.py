"""The decoder of GPT-SoVITS v4 (or v3) at full size: short, medium and long texts, and several requests at once.

`published` is the released order of work (`published_gpt_sovits_cfm`), with its default, in which the items of a
request share chunks that are padded to the longest length, one request after another. `chorale` is the vocoder stage:
every request is one item of the worker, which solves their chunks together. Both get the same random weights, codes,
phones, voice and number of steps, and alternate within one run. From codes to samples: text and GPT are not measured.
On a CPU, seconds are processor time of one thread, so that a busy machine does not matter; on a GPU, wall time.

Random weights do not produce speech, so there is no word error rate; `make test` compares both with the golden set.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from benchmarks import _common
from benchmarks.published_gpt_sovits_cfm import Item, PublishedCfm, PublishedDit, PublishedVoice
from deployments.contract.device import Device
from deployments.contract.family import FamilySpec
from deployments.contract.speech import VocoderChunk, VoicePrompt
from deployments.contract.work import WorkItem
from deployments.engine.device.choose import choose_device
from deployments.engine.device.thread import DeviceThread
from deployments.engine.vocode.worker import VocodeWorker
from deployments.families.gpt_sovits.cfm.layout import CODES_PER_SECOND, LAYOUTS, STEPS
from deployments.families.gpt_sovits.checkpoints import read_sovits
from deployments.families.gpt_sovits.options import PUBLISHED, GptSovitsOptions
from deployments.families.gpt_sovits.vocoder_cfm import CfmVocoder
from deployments.families.gpt_sovits.weights import without_weight_norm
from tests.golden.random_gpt_sovits_cfm import MELS, make

LENGTHS = {"short": 60, "medium": 125, "long": 350}  # codes: 2.4, 5 and 14 s
PHONES_PER_CODE = 0.4
PROMPT_S = 4.0


class Bench:
    """Both ways over the same folder. prompt_s: seconds of the voice's recording."""

    def __init__(
        self, folder: Path, version: str, device: Device, steps: int, prompt_s: float, requests: int
    ) -> None:
        self.version, self.layout, self.device, self.steps = version, LAYOUTS[version], device, steps
        self.draw = np.random.default_rng(0)
        option = "bigvgan" if version == "v3" else "hifigan"
        sound = folder / GptSovitsOptions.model_fields[option].default
        file = read_sovits(folder / PUBLISHED[version][1])  # pyright: ignore[reportArgumentType]
        tensors, self.speaker = file.tensors(), file.shapes["ref_enc.fc.fc.bias"]
        self.model = CfmVocoder.load(file, tensors, sound, device)
        plain = {
            name: tensor.to(device.torch_device) for name, tensor in without_weight_norm(tensors).items()
        }
        self.prompt = self._prompt(prompt_s)
        self.published = PublishedCfm(
            self.model.decoder.features,
            PublishedDit(plain, torch.float16 if device.half else torch.float32),
            self.model.decoder.vocoder,
        )
        codes, phones, mel, ge = (
            torch.from_numpy(self.prompt.tensors[name]).to(device.torch_device)
            for name in ("codes", "phones", "mel", "ge")
        )
        self.voice = PublishedVoice.of(self.model.decoder.features, Item(codes, phones), mel, ge)
        spec = FamilySpec(
            "gpt_sovits", self.layout.output_rate, CODES_PER_SECOND, self.layout.samples_per_code, 0, 0, ("zh",),
            1000, 3, 10, chunking="whole",
        )  # fmt: skip
        self.worker = VocodeWorker(self.model, device, spec, max_batch=requests)
        self.worker.warm_up(self.prompt)

    def segments(self, codes: Sequence[int], steps: int = 0) -> list[VocoderChunk]:
        """steps: of the solver, 0 for those of the benchmark."""
        return [
            VocoderChunk(
                self.draw.integers(0, 1024, count), 0, 0, 0, self.prompt, seed=index,
                conditions={"phones": self._phones(count)}, controls={"sample_steps": steps or self.steps},
            )
            for index, count in enumerate(codes)
        ]  # fmt: skip

    def by_chorale(self, segments: Sequence[VocoderChunk]) -> int:
        """Samples made, of all requests at once."""
        for index, segment in enumerate(segments):
            self.worker.admit(WorkItem(str(index), segment))
        samples = 0
        while self.worker.active:
            for event in self.worker.step():
                if event.error:
                    raise event.error
                samples += len(event.value.waveform)
        return samples

    def by_the_published_order(self, segments: Sequence[VocoderChunk]) -> int:
        """One request after another."""
        samples = 0
        for segment in segments:
            codes, phones = (
                torch.from_numpy(part).to(self.device.torch_device)
                for part in (segment.frames, segment.conditions["phones"])
            )
            steps = int(segment.controls["sample_steps"])
            (sound,) = self.published.parallel([Item(codes, phones)], self.voice, steps)
            samples += len(sound.cpu())
        return samples

    def _prompt(self, seconds: float) -> VoicePrompt:
        codes = round(seconds * CODES_PER_SECOND)
        mel = self.draw.standard_normal((round(seconds * self.layout.rate / self.layout.hop), MELS))
        arrays = {
            "codes": self.draw.integers(0, 1024, codes + 15),  # the published tail of 0.6 s
            "phones": self._phones(codes),
            "mel": mel.astype(np.float32),
            "ge": self.draw.standard_normal(self.speaker).astype(np.float32),
        }
        return VoicePrompt.of("gpt_sovits", arrays)

    def _phones(self, codes: int) -> np.ndarray:
        return self.draw.integers(0, 700, max(4, round(PHONES_PER_CODE * codes)))


def cases(lengths: Mapping[str, int], requests: int) -> dict[str, list[int]]:
    """The codes of each case's requests: each text alone, and `requests` of the first two in turn, at once."""
    alone = {name: [codes] for name, codes in lengths.items()}
    return alone | {f"{requests} requests": [list(lengths.values())[index % 2] for index in range(requests)]}


def measure(bench: Bench, repeat: int, cases: Mapping[str, list[int]]) -> list[dict[str, Any]]:
    ways: dict[str, Callable[[Sequence[VocoderChunk]], int]] = {
        "published": bench.by_the_published_order,
        "chorale": bench.by_chorale,
    }
    rows = []
    for run in ways.values():  # first calls choose kernels
        run(bench.segments([10], STEPS[0]))
    for name, codes in cases.items():
        spent: dict[str, list[float]] = {way: [] for way in ways}
        made = dict.fromkeys(ways, 0)
        for _ in range(repeat):
            segments = bench.segments(codes)
            for way, run in ways.items():
                began = _now(bench.device)
                made[way] = run(segments)
                spent[way].append(_now(bench.device) - began)
        best = {way: float(np.median(values)) for way, values in spent.items()}
        seconds = sum(codes) / CODES_PER_SECOND
        rows.append(
            {
                "case": name,
                "audio_s": round(seconds, 2),
                **{f"{way}_s": round(value, 3) for way, value in best.items()},
                **{f"{way}_rtf": round(value / seconds, 3) for way, value in best.items()},
                "samples": made,
                "times_faster": round(best["published"] / best["chorale"], 2),
            }
        )
    return rows


def _now(device: Device) -> float:
    if device.kind == "cpu":
        return time.process_time()
    torch.cuda.synchronize(device.torch_device)
    return time.perf_counter()


def table(rows: Sequence[dict[str, Any]], version: str, steps: int) -> Table:
    shown = Table(title=f"GPT-SoVITS {version}, codes to sound, {steps} steps (random weights)")
    for name in ("text", "audio, s", "published, s", "chorale, s", "RTF", "times faster"):
        shown.add_column(name, justify="right")
    for row in rows:
        cells = (row["case"], row["audio_s"], row["published_s"], row["chorale_s"], row["chorale_rtf"])
        shown.add_row(*map(str, (*cells, row["times_faster"])))
    return shown


def main() -> None:
    parser = _common.arguments("gpt_sovits_cfm", __doc__)
    parser.add_argument("--version", choices=("v3", "v4"), default="v4")
    parser.add_argument("--steps", type=int, choices=STEPS, default=8, help="of the solver (8)")
    parser.add_argument("--requests", type=int, default=8, help="at once (8)")
    parser.add_argument(
        "--cases", nargs="+", choices=(*LENGTHS, "requests"), default=[*LENGTHS, "requests"], help="(all)"
    )
    parser.add_argument(
        "--repeat", type=int, default=1, help="runs of each case, of which the median counts (1)"
    )
    parser.add_argument(
        "--prompt", type=float, default=PROMPT_S, help=f"seconds of the reference ({PROMPT_S:g})"
    )
    parser.add_argument("--device", choices=("auto", "cuda", "cpu"), default="auto")
    parser.add_argument(
        "--folder", type=Path, help="of the files, instead of a temporary one of random weights"
    )
    options = parser.parse_args()
    console, result = Console(), _common.origin("gpt_sovits_cfm")
    every = cases(LENGTHS, options.requests)
    chosen = {name: codes for name, codes in every.items() if name.split()[-1] in options.cases}

    def run(folder: Path) -> tuple[Device, list[dict[str, Any]], dict[str, Any]]:
        device = choose_device(options.device, threads=1)
        with torch.inference_mode():
            bench = Bench(folder, options.version, device, options.steps, options.prompt, options.requests)
            return device, measure(bench, options.repeat, chosen), bench.worker.status()

    thread = DeviceThread("device", threads=1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.folder or make(Path(scratch), options.version)
        device, rows, status = thread.submit(run, folder).result()
    thread.close()
    console.print(table(rows, options.version, options.steps))
    settings = {name: getattr(options, name) for name in ("version", "steps", "requests", "repeat", "prompt")}
    _common.finish(
        options.out,
        result | {"settings": settings, "device": device.describe(), "graphs": status, "rows": rows},
        console,
    )


if __name__ == "__main__":
    main()
