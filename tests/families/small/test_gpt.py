from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from deployments.contract.device import Device
from deployments.contract.errors import InvalidInput
from deployments.contract.speech import GptRequest, Run, Segment
from deployments.contract.work import WorkItem
from deployments.engine.decode import Decoder
from deployments.engine.device.thread import DeviceThread
from deployments.families.small.family import SmallFamily
from tests.families.prefill import prefill_at_once

SENTENCES = (
    "The train leaves at seven in the morning.",
    "Yes.",
    "Nobody knew why the old clock had stopped, but everyone had a story about it.",
    "Where did you put the keys?",
)
Decode = Callable[[Iterable[GptRequest]], list[np.ndarray]]


@pytest.fixture
def decode(family: SmallFamily, cpu: Device) -> Iterable[Decode]:
    """decode(requests) -> their codes, decoded in one batch of up to 8."""
    with decoding(family, cpu) as run:
        yield run


@contextmanager
def decoding(family: SmallFamily, cpu: Device, optimize: bool = True) -> Iterator[Decode]:
    thread = DeviceThread("test", threads=1)

    def load() -> Decoder:
        return Decoder(family.gpt(cpu, slots=8), cpu, optimize=optimize)

    decoder = thread.submit(load).result()

    def run(requests: Iterable[GptRequest]) -> list[np.ndarray]:
        codes: dict[str, list[np.ndarray]] = {}
        for number, request in enumerate(requests):
            codes[str(number)] = []
            decoder.admit(WorkItem(str(number), request))
        while decoder.active:
            for event in decoder.step():
                assert event.error is None
                codes[event.id].append(event.value.codes)
        return [np.concatenate(runs) for runs in codes.values()]

    yield lambda requests: thread.submit(run, list(requests)).result()
    thread.close()


def test_a_seed_gives_the_same_codes_alone_and_in_a_batch_of_eight(
    decode: Decode, request_of: Callable
) -> None:
    requests = [request_of(SENTENCES[n % 4], voice=n, seed=n, temperature=0.3 * (n % 3)) for n in range(8)]
    together = decode(requests)
    for request, codes in zip(requests, together, strict=True):
        np.testing.assert_array_equal(decode([request])[0], codes)


def test_a_compiled_step_has_the_codes_of_an_eager_one(
    family: SmallFamily, cpu: Device, decode: Decode, request_of: Callable
) -> None:
    requests = [request_of(SENTENCES[n % 4], voice=n, seed=n) for n in range(5)]
    with decoding(family, cpu, optimize=False) as eager:
        for one, other in zip(decode(requests), eager(requests), strict=True):
            np.testing.assert_array_equal(one, other)


def test_a_step_is_one_call_on_a_cpu(family: SmallFamily, cpu: Device) -> None:
    thread = DeviceThread("test", threads=1)
    assert thread.submit(lambda: family.gpt(cpu, slots=1).compile()).result() == "one TorchScript call"
    thread.close()


def test_other_seeds_give_other_codes_unless_temperature_is_zero(
    decode: Decode, request_of: Callable
) -> None:
    one, two = decode([request_of(SENTENCES[0], seed=1), request_of(SENTENCES[0], seed=2)])
    assert one.shape != two.shape or (one != two).any()
    cold = decode([request_of(SENTENCES[0], seed=s, temperature=0.0) for s in (1, 2)])
    np.testing.assert_array_equal(*cold)


def test_codes_after_a_prefix_equal_those_of_an_uninterrupted_run(
    decode: Decode, request_of: Callable
) -> None:
    request = request_of(SENTENCES[2])
    whole = decode([request])[0]
    for cut in (1, 29, len(whole) - 1):
        rest = decode([request.resume([Run(whole[:cut])])])[0]
        np.testing.assert_array_equal(rest, whole[cut:])


def test_a_segment_with_too_many_phones_is_refused(
    family: SmallFamily, cpu: Device, request_of: Callable
) -> None:
    gpt = family.gpt(cpu, slots=1)
    request = request_of("Hello.")
    long = Segment("a" * 400, np.full(400, 5, np.int64))
    with pytest.raises(InvalidInput, match="at most 320"):
        prefill_at_once(gpt, 0, GptRequest(long, request.prompt, request.sampling))
