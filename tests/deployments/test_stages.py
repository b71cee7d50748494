"""The two unary stages as plain classes, with the weights that are shipped."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from deployments.engine.device_thread import ModelReplica
from deployments.errors import InvalidInput
from deployments.families.base import VoicePrompt
from deployments.gpt import Gpt
from deployments.replica import LeasedReplica
from deployments.text_frontend import TextFrontend
from deployments.vocoder import Vocoder
from deployments.voice_encoder import PromptCache, VoiceEncoder, content_key


def prompt(number: int) -> VoicePrompt:
    return VoicePrompt.of("small", {"x": np.array([number], np.float32)})


def test_the_least_recently_used_prompt_goes_first():
    cache = PromptCache(2)
    for number in (1, 2):
        cache.put(str(number), prompt(number))
    assert cache.get("1") is not None
    cache.put("3", prompt(3))
    assert cache.get("2") is None
    assert cache.get("1") is not None and cache.get("3") is not None
    assert (cache.hits, cache.misses) == (3, 1)
    PromptCache(0).put("a", prompt(1))


def test_the_key_tells_every_input_apart():
    wave = np.zeros(10, np.float32)
    keys = {
        content_key(wave, 16000, None),
        content_key(wave, 16000, ""),
        content_key(wave, 16000, "None"),
        content_key(wave, 24000, None),
        content_key(wave[:9], 16000, None),
    }
    assert len(keys) == 5
    assert content_key(wave[::2], 16000, None) == content_key(wave[::2].copy(), 16000, None)


async def test_text_becomes_segments_and_a_fault_is_a_value():
    stage = TextFrontend("small", {})
    segments = await stage.segments("Good morning. How are you?", "en")
    assert segments and all(len(segment.token_ids) for segment in segments)
    assert isinstance(await stage.segments("?!", "en"), InvalidInput)
    assert (await stage.status())["calls"] == 2


async def test_a_reference_is_encoded_once_and_always_the_same():
    stage = VoiceEncoder("small", {}, {"preference": "cpu", "half": "auto", "threads": 1})
    tone = (0.3 * np.sin(np.arange(32000) * 0.06) * np.hanning(32000)).astype(np.float32)
    first, second = await asyncio.gather(stage.encode(tone, 16000), stage.encode(tone, 16000))
    third = await stage.encode(tone.copy(), 16000)
    assert isinstance(first, VoicePrompt)
    assert first.key == second.key == third.key
    assert isinstance(await stage.encode(tone[:100], 16000), InvalidInput)
    assert (await stage.status())["hits"] >= 1
    await stage.check_health()


@pytest.mark.parametrize("replica", [Gpt, Vocoder, VoiceEncoder])
def test_models_live_in_classes_that_refuse_sync_methods(replica):
    assert issubclass(replica, ModelReplica)
    assert replica in (VoiceEncoder,) or issubclass(replica, LeasedReplica)
    with pytest.raises(TypeError, match="async"):
        type("Careless", (replica,), {"speak": lambda self: None})
