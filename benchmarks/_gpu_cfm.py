"""The step of benchmarks.gpu for the decoder of GPT-SoVITS v4: the table of `gpt_sovits_cfm` on the card."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from benchmarks._gpu_common import graphs_as_due, on_device_thread, weights
from benchmarks.gpt_sovits_cfm import LENGTHS, PROMPT_S, Bench, cases, measure
from deployments.engine.device.choose import choose_device


def cfm(
    family: str,
    folder: str,
    device: str,
    lengths: dict[str, int] | None,
    requests: int,
    repeat: int,
    steps: int,
) -> dict[str, Any]:
    """lengths: codes of each text, None for those of the benchmark; steps: of the solver."""

    @torch.inference_mode()
    def run() -> dict[str, Any]:
        chosen = choose_device(device, threads=1)
        bench = Bench(Path(folder), "v4", chosen, steps, PROMPT_S, requests)
        rows, status = measure(bench, repeat, cases(lengths or LENGTHS, requests)), bench.worker.status()
        return {
            "weights": weights(folder),
            "device": chosen.describe(),
            "status": status,
            "rows": rows,
            "checks": {
                "graphs where there is CUDA": graphs_as_due(chosen, status),
                "no batch failed": not bench.worker.stats()["retries"],
            },
        }

    return on_device_thread(run)
