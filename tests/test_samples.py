"""Fixed seeds give the samples that were recorded, in both families, without Ray. For the graph: tests/serve."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing
from typing import Any

import numpy as np
import pytest

from deployments.contract.speech import GptRequest, Run
from serve_app.audio.encode import open_encoder
from serve_app.backends.local import LocalBackend
from serve_app.models import Model, Models
from serve_app.service import Service, SpeechRequest
from tests import samples
from tests.samples import INDEXTTS, REFERENCE, SMALL, Case


class OverheardBackend(LocalBackend):
    """Keeps the codes of every segment."""

    codes: dict[str, list[np.ndarray]]

    async def generate(self, request: GptRequest, *, id: str, **how: Any) -> AsyncIterator[Run]:
        heard = self.codes.setdefault(id, [])
        async with aclosing(super().generate(request, id=id, **how)) as runs:
            async for run in runs:
                heard.append(run.codes)
                yield run


@pytest.fixture(scope="module")
def services(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Service]]:
    services = {}
    for family in ("small", "indextts"):
        settings = samples.settings_of(family, tmp_path_factory.mktemp(family))
        model = Model(settings.default, settings.options(), OverheardBackend(settings.options()).wait())
        services[family] = Service(settings, Models([model]))
    yield services
    for service in services.values():
        backend(service).close()


def backend(service: Service) -> OverheardBackend:
    (model,) = service.models
    assert isinstance(model.backend, OverheardBackend)
    return model.backend


async def said(service: Service, case: Case) -> tuple[list[np.ndarray], np.ndarray]:
    """The codes of each segment, and the sound, int16 (N,)."""
    backend(service).codes = codes = {}
    recording = REFERENCE if case.voice is None else None
    request = SpeechRequest(
        case.text, case.voice, recording, seed=case.seed, max_tokens=case.max_tokens, controls=case.controls
    )
    spoken = await service.speak(request)
    encoder = open_encoder("pcm", spoken.sample_rate, streamed=True)
    data = [encoder.encode(waveform) async for waveform in spoken.stream.sound]
    assert not spoken.stream.faults.retried + spoken.stream.faults.cut
    sound = np.frombuffer(b"".join([*data, encoder.finish()]), "<i2")
    return [np.concatenate(runs) for runs in codes.values()], sound


@pytest.mark.parametrize("case", SMALL + INDEXTTS, ids=lambda case: case.key)
async def test_recorded_samples(services: dict[str, Service], case: Case):
    codes, sound = await said(services[case.family], case)
    assert (len(codes) > 1) is (case.name == "segments")
    samples.check_codes(case, codes)
    samples.check_sound(case, sound)


@pytest.mark.skipif(samples.RECORDING, reason="nothing to compare with yet")
@pytest.mark.parametrize("case", [SMALL[2], INDEXTTS[0]], ids=lambda case: case.key)
async def test_a_cpu_without_recorded_hashes_is_compared_by_codes_and_sound(services, case, monkeypatch):
    monkeypatch.setattr(samples, "cpu", lambda: "another")
    codes, sound = await said(services[case.family], case)
    samples.check_codes(case, codes)
    samples.check_sound(case, sound)
    with pytest.raises(AssertionError):
        samples.check_codes(case, [part + (np.arange(len(part)) > len(part) // 2) for part in codes])
    with pytest.raises(AssertionError):
        samples.check_sound(case, (sound * 0.9).astype(np.int16))
    with pytest.raises(AssertionError):
        samples.check_sound(case, np.roll(sound, 24))
