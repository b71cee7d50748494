from __future__ import annotations

import logging

import pytest
import torch

from deployments.contract.device import Device
from deployments.engine.graphs import GraphRunner, doublings


class Recorder:
    """A backend that replays by running the function again into the same outputs, like a graph."""

    def __init__(self, fails_on: int | None = None) -> None:
        self.warmed = self.captures = self.replays = 0
        self._fails_on = fails_on

    def warm_up(self, function):
        self.warmed += 1
        function()

    def capture(self, function):
        self.captures += 1
        if self.captures == self._fails_on:
            raise RuntimeError("operation not permitted when stream is capturing\nmore")
        outputs = function()

        def replay():
            self.replays += 1
            outputs.copy_(function())

        return replay, outputs


@pytest.fixture(autouse=True)
def no_switch(monkeypatch):
    monkeypatch.delenv("TORCH_CUDAGRAPH_DISABLE", raising=False)


def double(inputs):
    return inputs["x"] * 2


def test_captured_shapes_are_replayed_into_the_same_tensors(on, cpu, thread, caplog):
    recorder = Recorder()

    def run():
        runner = GraphRunner(cpu, "test", backend=recorder)
        runner.capture("two", double, {"x": torch.zeros(2)})
        first = runner.call("two", double, {"x": torch.tensor([1.0, 2.0])})
        seen = first.tolist()
        second = runner.call("two", double, {"x": torch.tensor([5.0, 6.0])})
        return runner.status(), seen, second.tolist(), first.data_ptr() == second.data_ptr()

    with caplog.at_level(logging.INFO):
        status, first, second, same_tensor = on(run)
    assert (first, second, same_tensor) == ([2.0, 4.0], [10.0, 12.0], True)
    assert (recorder.warmed, recorder.captures, recorder.replays) == (1, 1, 2)
    assert status == {
        "optimize": True,
        "reason": "CUDA graphs on",
        "captured": ["two"],
        "thread_id": thread.thread_id,
    }
    assert any("captured two (x (2,)) in" in message for message in caplog.messages)


def test_a_call_never_captures(on, cpu, caplog):
    recorder = Recorder()

    def run():
        runner = GraphRunner(cpu, "test", backend=recorder)
        for _ in range(3):
            runner.call("new", double, {"x": torch.ones(3)})
        return runner.call("new", double, {"x": torch.ones(3)}).tolist()

    assert on(run) == [2.0, 2.0, 2.0]
    assert recorder.captures == 0
    assert sum("not captured at start" in message for message in caplog.messages) == 1


def test_a_failed_capture_falls_back_to_eager_code_and_is_reported(on, cpu, caplog):
    recorder = Recorder(fails_on=2)

    def run():
        runner = GraphRunner(cpu, "test", backend=recorder)
        runner.capture(1, double, {"x": torch.zeros(1)})
        runner.capture(2, double, {"x": torch.zeros(2)})
        runner.capture(3, double, {"x": torch.zeros(3)})
        return runner.status(), [runner.call(n, double, {"x": torch.ones(n)}).tolist() for n in (1, 2, 3)]

    status, results = on(run)
    assert results == [[2.0], [2.0, 2.0], [2.0, 2.0, 2.0]]
    assert status["optimize"] is False
    assert status["captured"] == []
    assert "capture of 2 failed (RuntimeError: operation not permitted" in status["reason"]
    assert recorder.replays == 0
    assert any("capture of 2 failed" in message for message in caplog.messages)


def test_options_and_device_decide_about_graphs(on, cpu, monkeypatch):
    def reason(optimize=True, backend=None, device=cpu):
        return on(lambda: GraphRunner(device, "test", optimize, backend)).status()["reason"]

    assert reason() == "plain: no CUDA graphs on cpu"
    assert "MUSA" not in reason(device=Device(torch.device("cpu"), "musa", "MTT", torch.float32))
    assert "musa" in reason(device=Device(torch.device("cpu"), "musa", "MTT", torch.float32))
    assert reason(backend=Recorder()) == "CUDA graphs on"
    assert reason(optimize=False, backend=Recorder()) == "plain: optimize is false in the configuration"
    monkeypatch.setenv("TORCH_CUDAGRAPH_DISABLE", "1")
    assert reason(backend=Recorder()) == "plain: TORCH_CUDAGRAPH_DISABLE=1"


def test_only_the_owning_thread_may_use_it(on, cpu):
    with pytest.raises(RuntimeError, match="device thread"):
        GraphRunner(cpu)
    runner = on(GraphRunner, cpu)
    with pytest.raises(RuntimeError, match="device thread"):
        runner.call("x", double, {"x": torch.ones(1)})


def test_the_decoder_gives_the_same_codes_through_captured_graphs(on, cpu, engine):
    """Static rows and length buckets, with a recorder instead of CUDA graphs."""
    from deployments.engine.decode import Decoder

    class DictRecorder(Recorder):
        def capture(self, function):
            self.captures += 1
            outputs = function()

            def replay():
                self.replays += 1
                for name, value in function().items():
                    outputs[name].copy_(value)

            return replay, outputs

    recorder = DictRecorder()

    def run(backend):
        decoder = Decoder(engine.gpt(4, 300, cpu.torch_device), cpu, backend=backend)
        decoder.warm_up()
        captured = decoder.status()["captured"]
        return engine.decode(decoder, {f"r{i}": engine.request(i, max_tokens=40) for i in range(3)}), captured

    (plain, none), (graphs, captured) = on(run, None), on(run, recorder)
    assert none == []
    assert captured == ["(4, 300)", "(4, 256)", "(2, 300)", "(2, 256)", "(1, 300)", "(1, 256)"]
    assert recorder.captures == 6
    assert recorder.replays >= 40
    assert {n: c.tolist() for n, c in plain.items()} == {n: c.tolist() for n, c in graphs.items()}


def test_buckets_end_at_the_maximum():
    assert doublings(1, 1) == [1]
    assert doublings(1, 6) == [1, 2, 4, 6]
    assert doublings(1, 32) == [1, 2, 4, 8, 16, 32]
    assert doublings(256, 1000) == [256, 512, 1000]
    assert doublings(256, 160) == [160]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_cuda_graphs_against_eager_on_a_gpu(thread, engine):
    from deployments.engine.decode import Decoder
    from deployments.engine.device.choose import choose_device

    def run(optimize):
        device = choose_device("cuda", half=False)
        decoder = Decoder(engine.gpt(8, 300, device.torch_device), device, optimize=optimize)
        decoder.warm_up()
        codes = engine.decode(decoder, {f"r{i}": engine.request(i, temperature=0.0) for i in range(8)})
        return decoder.status(), {name: run.tolist() for name, run in codes.items()}

    status, graphs = thread.submit(run, True).result(300)
    _, eager = thread.submit(run, False).result(300)
    assert status["optimize"]
    assert len(status["captured"]) == 8
    assert graphs == eager


def test_what_is_captured_and_called_is_captured_once(on, cpu):
    recorder = Recorder()

    def run():
        runner = GraphRunner(cpu, "test", backend=recorder)
        return [
            runner.capture_and_call("two", double, {"x": torch.full((2,), value)}).tolist()
            for value in (1.0, 2.0)
        ]

    assert on(run) == [[2.0, 2.0], [4.0, 4.0]]
    assert recorder.captures == 1
