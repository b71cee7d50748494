"""Steps in static shapes: padded to a bucket with the scratch slot; and on a GPU, as CUDA graphs."""

from __future__ import annotations

import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks._decoding import decoded
from deployments.contract.speech import GptRequest, Run, VoicePrompt
from deployments.contract.work import WorkItem
from deployments.engine.decode import Decoder
from deployments.engine.device.choose import choose_device
from deployments.families import load
from tests.families.voxcpm.conftest import CPU, VERSIONS, Golden, error_of
from tests.families.voxcpm.test_engine import STEPS, decode, mixed

VOICES, SYNTHESES, CLIENTS = 50, 200, 8
on_a_gpu = [pytest.mark.gpu, pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")]


class Eager:
    """Stands for CUDA graphs: static inputs and outputs, on a device without graphs."""

    def warm_up(self, function: Callable[[], Any]) -> None:
        function()

    def capture(self, function: Callable[[], Any]) -> tuple[Callable[[], None], Any]:
        outputs = function()

        def replay() -> None:
            for name, value in function().items():
                outputs[name].copy_(value)

        return replay, outputs


@pytest.mark.parametrize("version", VERSIONS)
def test_padded_batches_give_what_eager_steps_give(golden, on_device, version):
    requests = mixed(golden(version))[:3]

    def run() -> tuple[list[Run], list[Run]]:
        plain = Decoder(golden(version).gpt(4, STEPS), CPU)
        static = Decoder(golden(version).gpt(4, STEPS), CPU, batch_buckets=[4], backend=Eager())
        static.warm_up()
        assert static.status()["optimize"]
        return decode(plain, *requests), decode(static, *requests)

    for one, other in zip(*on_device(run), strict=True):
        assert len(one) == len(other)
        assert error_of(other.codes, one.codes) < 1e-5


def gpu_decoder(golden: Golden, *, half: bool, optimize: bool = True) -> Decoder:
    device = choose_device("cuda", half=half, threads=1)
    family = load("voxcpm", {"model_dir": str(golden.checkpoint), "max_length": golden.config.max_length})
    decoder = Decoder(family.gpt(device, CLIENTS), device, optimize=optimize)
    decoder.warm_up()
    return decoder


@pytest.mark.parametrize("version", VERSIONS)
class TestOnAGpu:
    pytestmark = on_a_gpu

    def test_graphs_make_the_patches_of_eager_steps(self, golden, on_device, version):
        requests = mixed(golden(version))

        def run() -> list[list[Run]]:
            return [
                decode(gpu_decoder(golden(version), half=False, optimize=optimize), *requests)
                for optimize in (True, False)
            ]

        for one, other in zip(*on_device(run), strict=True):
            assert len(one) == len(other)
            assert error_of(one.codes, other.codes) < 1e-3

    def test_half_precision_makes_finite_patches(self, golden, on_device, version):
        runs = on_device(lambda: decode(gpu_decoder(golden(version), half=True), *mixed(golden(version))))
        assert all(np.isfinite(run.codes).all() for run in runs)

    def test_many_voices_by_many_threads_capture_nothing(self, golden, on_device, version, caplog):
        """The reported failure: another recording in each request, from several threads at once."""
        template, shapes = mixed(golden(version))[3], mixed(golden(version))[3].prompt.tensors
        draw = np.random.default_rng(0)

        def voice() -> VoicePrompt:
            arrays = {
                name: draw.standard_normal(value.shape, np.float32) if value.dtype == np.float32 else value
                for name, value in shapes.items()
            }
            return VoicePrompt.of("voxcpm", arrays)

        voices = [voice() for _ in range(VOICES)]
        decoder = on_device(lambda: gpu_decoder(golden(version), half=True))
        captured = on_device(decoder.status)["captured"]

        def speak(index: int) -> int:
            sampling = replace(template.sampling, seed=index, max_tokens=4)
            request: GptRequest = replace(template, prompt=voices[index % VOICES], sampling=sampling)
            return len(on_device(decoded, decoder, [WorkItem(str(index), request)])[str(index)])

        with caplog.at_level(logging.WARNING), ThreadPoolExecutor(CLIENTS) as clients:
            assert set(clients.map(speak, range(SYNTHESES))) == {4}
        assert on_device(decoder.status)["captured"] == captured
        assert not [message for message in caplog.messages if "not captured" in message]
