"""Families on a CUDA card: graphs against eager code, half precision against fp32, changing voices.

IndexTTS and GPT-SoVITS (v2Pro) use the golden sets' small checkpoints; `voxcpm/test_graphs.py` has the tests of VoxCPM.
Imports neither Ray nor HTTP, so that `make gpu` needs only torch.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from benchmarks import _gpu_checkpoints, _gpu_family
from benchmarks._decoding import decoded
from deployments.contract.device import Device
from deployments.contract.family import Family
from deployments.contract.speech import GptRequest, Run, VocoderChunk
from deployments.contract.work import WorkItem
from deployments.engine.decode import Decoder
from deployments.engine.device.thread import DeviceThread
from deployments.engine.vocode.worker import VocodeWorker

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU"),
]
DEVICE = "cuda"
ROWS, CODES = 4, 16


@pytest.fixture(params=["small", "indextts", "gpt_sovits"])
def family(request: pytest.FixtureRequest, tmp_path: Path) -> Family:
    golden = request.param == "gpt_sovits"
    folder = str(_gpu_checkpoints.golden(request.param, tmp_path / "golden")) if golden else None
    return _gpu_family.load(request.param, folder)


@pytest.fixture
def on() -> Iterator[Callable[..., Any]]:
    """Runs a function on a device thread."""
    thread = DeviceThread("device", threads=1)
    yield lambda function, *args: thread.submit(function, *args).result(timeout=240)
    thread.close()


def greedy(family: Family, index: int) -> GptRequest:
    prompt = _gpu_family.prompt(family, index)
    return _gpu_family.request(family, index, prompt, 30, temperature=0.0, max_tokens=CODES)


def decoder_of(family: Family, device: Device, optimize: bool = True) -> Decoder:
    decoder = Decoder(family.gpt(device, ROWS), device, optimize=optimize)
    decoder.warm_up()
    return decoder


def decode(decoder: Decoder, requests: list[GptRequest]) -> list[Run]:
    found = decoded(decoder, [WorkItem(str(row), request) for row, request in enumerate(requests)])
    return [found[str(row)] for row in range(len(requests))]


def relative(some: np.ndarray, others: np.ndarray) -> float:
    return float(np.linalg.norm(some - others) / np.linalg.norm(others))


def test_graphs_decode_the_same_codes_as_eager_steps(family, on):
    def run(optimize: bool) -> tuple[dict[str, Any], list[Run]]:
        decoder = decoder_of(family, _gpu_family.device_of(DEVICE, half=False), optimize)
        return decoder.status(), decode(decoder, [greedy(family, row) for row in range(ROWS)])

    (status, graphs), (_, eager) = on(run, True), on(run, False)
    assert status["optimize"] and status["captured"]
    for one, other in zip(graphs, eager, strict=True):
        np.testing.assert_array_equal(one.codes, other.codes)
        if one.frames is not None and other.frames is not None:
            assert relative(one.frames, other.frames) < 1e-3


def test_half_precision_stays_near_fp32(family, on):
    def run() -> tuple[list[Run], list[Run]]:
        exact = decoder_of(family, _gpu_family.device_of(DEVICE, half=False))
        requests = [greedy(family, row) for row in range(ROWS)]
        said = decode(exact, requests)
        rough = decoder_of(family, _gpu_family.device_of(DEVICE, half=True))
        follow = [
            replace(request, prefix=run.codes[:-1], sampling=replace(request.sampling, max_tokens=len(run)))
            for request, run in zip(requests, said, strict=True)
        ]
        return said, decode(rough, follow)

    said, followed = on(run)
    same = [
        np.array_equal(rough.codes[0], exact.codes[-1]) for exact, rough in zip(said, followed, strict=True)
    ]
    assert sum(same) >= ROWS - 1
    for exact, rough in zip(said, followed, strict=True):
        if exact.frames is not None and rough.frames is not None:
            assert relative(rough.frames[0], exact.frames[-1]) < 0.1


def test_vocoder_graphs_match_the_eager_network(family, on, caplog):
    """Long enough for several chunks, whose length differs from the whole; convolutions may choose TF32."""
    draw = np.random.default_rng(0)

    def run() -> tuple[dict[str, Any], list[np.ndarray]]:
        device, sounds = _gpu_family.device_of(DEVICE, half=False), []
        model, status = family.vocoder(device), {}
        shape = (200, *model.frame_shape)
        integers = issubclass(model.frame_dtype, np.integer)
        frames = draw.integers(0, 100, shape) if integers else draw.standard_normal(shape)
        chunk = VocoderChunk(frames.astype(model.frame_dtype), 0, 0, 0, _gpu_family.prompt(family), seed=1)
        chunk = replace(chunk, conditions=_gpu_family.segment(family, 0).conditions)
        for optimize in (True, False):
            worker = VocodeWorker(model, device, family.spec, max_batch=2, optimize=optimize)
            worker.warm_up(family.example_prompt())
            worker.admit(WorkItem("one", chunk))
            events = []
            while not events:
                events = worker.step()
            assert events[0].error is None
            sounds.append(events[0].value.waveform)
            status = status or worker.status()
        return status, sounds

    with caplog.at_level(logging.WARNING):
        status, (graphs, plain) = on(run)
    assert status["optimize"] and status["captured"]
    assert not [message for message in caplog.messages if "not captured" in message]
    assert relative(graphs, plain) < 0.05


def test_another_voice_captures_no_graph_and_a_seed_keeps_its_codes(family, on, caplog):
    def run() -> None:
        decoder = decoder_of(family, _gpu_family.device_of(DEVICE, half=False))
        captured = decoder.status()["captured"]
        voices = [_gpu_family.prompt(family, index) for index in range(10)]
        for voice in voices:
            request = _gpu_family.request(family, 1, voice, 30, max_tokens=CODES)
            first, again = decode(decoder, [request]), decode(decoder, [request])
            np.testing.assert_array_equal(first[0].codes, again[0].codes)
        assert decoder.status()["captured"] == captured

    with caplog.at_level(logging.WARNING):
        on(run)
    assert not [message for message in caplog.messages if "not captured" in message]
