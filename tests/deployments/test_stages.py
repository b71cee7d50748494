"""The two unary stages as plain classes, with the shipped weights."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from deployments.contract.errors import InvalidInput
from deployments.contract.options import DeviceOptions, ModelOptions
from deployments.contract.speech import Reference, VoicePrompt
from deployments.engine.device.thread import ModelReplica
from deployments.gpt import Gpt
from deployments.replica import LeasedReplica
from deployments.text_frontend import TextFrontend
from deployments.vocoder import Vocoder
from deployments.voice_encoder import VoiceEncoder

OPTIONS = ModelOptions(device=DeviceOptions(preference="cpu"))


async def test_text_becomes_segments_and_an_error_is_a_value():
    stage = TextFrontend(ModelOptions())
    segments = await stage.segments("Good morning. How are you?", "en")
    assert segments and all(len(segment.token_ids) for segment in segments)
    assert isinstance(await stage.segments("?!", "en"), InvalidInput)
    assert await stage.check("Good morning. " * 1000) is None
    wrong = await stage.check("Good morning. " * 1000 + "\x00")
    assert isinstance(wrong, InvalidInput) and "at character 14001" in wrong.message
    assert (await stage.status())["calls"] == 4


async def test_a_reference_is_encoded_once_and_deterministically():
    stage = VoiceEncoder(OPTIONS)
    tone = (0.3 * np.sin(np.arange(32000) * 0.06) * np.hanning(32000)).astype(np.float32)
    first, second = await asyncio.gather(
        stage.encode(Reference.of(tone, 16000)), stage.encode(Reference.of(tone, 16000))
    )
    third = await stage.encode(Reference.of(tone.copy(), 16000))
    assert isinstance(first, VoicePrompt)
    assert first.key == second.key == third.key
    assert isinstance(await stage.encode(Reference.of(tone[:100], 16000)), InvalidInput)
    prompts = (await stage.status())["prompts"]
    assert prompts["memory_hits"] >= 1 and prompts["disk_hits"] == prompts["disk_entries"] == 0
    assert prompts["entries"] == 1 and prompts["bytes"] == first.nbytes > 0
    await stage.check_health()


async def test_a_voice_is_encoded_once_for_all_replicas_and_restarts(tmp_path):
    tone = (0.3 * np.sin(np.arange(32000) * 0.05) * np.hanning(32000)).astype(np.float32)
    before, other = (VoiceEncoder(OPTIONS.model_copy(update={"prompts": str(tmp_path)})) for _ in range(2))
    first = await before.encode(Reference.of(tone, 16000), keep="clara")
    again = await other.encode(Reference.of(tone, 16000), keep="clara")
    assert first.key == again.key
    freed = await other.free()
    assert freed["before"]["rss_bytes"] > 0 and freed["after"]["rss_bytes"] > 0
    assert (await other.encode(Reference.of(tone, 16000), keep="clara")).key == first.key
    cache = (await other.status())["prompts"]
    assert (cache["encoded"], cache["disk_hits"], cache["memory_hits"]) == (0, 2, 0)
    assert (await before.status())["prompts"]["encoded"] == 1


@pytest.mark.parametrize("replica", [Gpt, Vocoder, VoiceEncoder])
def test_model_deployments_refuse_sync_methods(replica):
    assert issubclass(replica, ModelReplica)
    assert replica in (VoiceEncoder,) or issubclass(replica, LeasedReplica)
    with pytest.raises(TypeError, match="async"):
        type("Careless", (replica,), {"speak": lambda self: None})
