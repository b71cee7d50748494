"""The decoder of v3 and v4 on a CUDA card: graphs against the CPU, alone and in batches, in fp32 and half precision."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import pytest
import torch

from deployments.contract.speech import VocodedChunk, VocoderChunk
from deployments.contract.work import WorkItem
from deployments.engine.device.choose import choose_device
from deployments.engine.device.thread import DeviceThread
from deployments.engine.vocode.worker import VocodeWorker
from deployments.families.gpt_sovits.vocoder_cfm import CfmVocoder
from tests.families.gpt_sovits.cfm.parts import BIGVGAN, VERSIONS, GoldenSet
from tests.families.gpt_sovits.cfm.test_vocoder_cfm import SPEC, a_chunk, a_vocoder, a_voice, alone

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]


@pytest.fixture
def on() -> Iterator[Callable[..., dict[str, VocodedChunk]]]:
    thread = DeviceThread("device", threads=1)
    yield lambda function, *args: thread.submit(function, *args).result(timeout=240)
    thread.close()


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize(("half", "limit"), [(False, 0.01), (True, 0.05)])
@pytest.mark.parametrize("optimize", [True, False])
def test_requests_sound_as_on_the_cpu(
    whole_set: GoldenSet,
    on: Callable[..., dict[str, VocodedChunk]],
    version: str,
    half: bool,
    limit: float,
    optimize: bool,
) -> None:
    voice = a_voice(whole_set, version)
    items = {"a": ("en1",), "b": ("zh1", "mix1", "en1", "zh1", "mix1"), "c": ("mix1",)}
    chunks: dict[str, VocoderChunk] = {
        name: a_chunk(whole_set, voice, *own, seed=seed) for seed, (name, own) in enumerate(items.items())
    }

    @torch.inference_mode()
    def run() -> dict[str, VocodedChunk]:
        device = choose_device("cuda", half)
        file, sound = whole_set.file(version), BIGVGAN if version == "v3" else "gsv-v4-pretrained/vocoder.pth"
        model = CfmVocoder.load(file, file.tensors(), whole_set.bundle / sound, device)
        worker = VocodeWorker(model, device, SPEC, max_batch=4, batch_buckets=[1, 4], optimize=optimize)
        worker.warm_up(voice)
        assert bool(worker.status()["captured"]) is optimize
        for name, chunk in chunks.items():
            worker.admit(WorkItem(name, chunk))
        found = {}
        while worker.active:
            found |= {event.id: event.value for event in worker.step()}
        assert worker.stats()["retries"] == 0
        return found

    found, reference = on(run), a_vocoder(whole_set, version)
    for name, chunk in chunks.items():
        expected = alone(reference, chunk)
        assert np.linalg.norm(found[name].waveform - expected) < limit * np.linalg.norm(expected)
