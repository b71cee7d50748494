"""What other programs send to an OpenAI-compatible server, and how they read its answer, as documented.

Written down from the programs' public source and documentation; each function is one of their calls.
"""

from __future__ import annotations

import base64
import io
import json
import urllib.request
from collections.abc import AsyncIterator
from typing import Any

import av
import httpx
import numpy as np
import openai

RATE = 24_000  # Hz, which all of them take pcm to have
KEY = {"authorization": "Bearer sk-none"}


def decoded(audio: bytes) -> np.ndarray:
    """The samples of an audio file: float32 (N,) at 24 kHz, as a player decodes them."""
    resampler = av.AudioResampler("flt", "mono", RATE)
    with av.open(io.BytesIO(audio)) as container:
        frames = [frame for whole in container.decode(audio=0) for frame in resampler.resample(whole)]
    return np.concatenate([frame.to_ndarray()[0] for frame in frames])


def samples(pcm: bytes) -> np.ndarray:
    """float32 (N,) of 16-bit pcm."""
    return np.frombuffer(pcm, "<i2").astype(np.float32) / 32768


class OpenWebUI:
    """backend/open_webui/routers/audio.py, with `base` as the configured base URL."""

    def __init__(self, client: httpx.AsyncClient, base: str) -> None:
        self.client, self.base = client, base

    async def voices(self) -> dict[str, str]:
        """Voice ids to names. An answer without `voices` leaves the picker empty."""
        answer = (await self.client.get(f"{self.base}/audio/voices")).raise_for_status().json()
        return {voice["id"]: voice.get("name", voice["id"]) for voice in answer.get("voices", [])}

    async def models(self) -> list[str]:
        answer = (await self.client.get(f"{self.base}/audio/models")).raise_for_status().json()
        return [model["id"] for model in answer.get("models", [])]

    async def speak(self, text: str, voice: str, model: str, **params: Any) -> np.ndarray:
        """Raises RuntimeError with the message that its user sees. params: the administrator's own fields."""
        headers = KEY | {"x-openwebui-user-name": "Ann", "x-openwebui-user-id": "1"}
        body = {"input": text, "voice": voice, "model": model} | params
        answer = await self.client.post(f"{self.base}/audio/speech", json=body, headers=headers)
        if answer.status_code != 200:
            raise RuntimeError(f"External: {answer.json()['error'].get('message', '')}")
        kind, _, rest = answer.headers["content-type"].partition(";")
        if kind in ("audio/pcm", "audio/l16"):
            told = dict(part.strip().split("=") for part in rest.split(";") if "=" in part)
            assert int(told.get("rate", RATE)) == body.get("sample_rate", RATE)
            return samples(answer.content)
        return decoded(answer.content)


class LiveKit:
    """livekit-plugins-openai: reads events or bytes, whichever the content-type says."""

    def __init__(self, client: httpx.AsyncClient, base: str) -> None:
        self.client, self.base = client, base

    async def prewarm(self) -> int:
        return (await self.client.get(f"{self.base}/")).status_code

    async def speak(
        self, text: str, voice: str = "ash", model: str = "gpt-4o-mini-tts", **more: Any
    ) -> np.ndarray:
        body = {
            "input": text,
            "model": model,
            "voice": voice,
            "response_format": "mp3",
            "speed": 1.0,
            "stream_format": "audio" if model in ("tts-1", "tts-1-hd") else "sse",
        } | more
        audio, done = b"", None
        headers = KEY | {"accept": "text/event-stream, application/octet-stream"}
        call = self.client.stream("POST", f"{self.base}/audio/speech", json=body, headers=headers)
        async with call as answer:
            answer.raise_for_status()
            if not answer.headers["content-type"].startswith("text/event-stream"):
                return decoded(await answer.aread())
            async for line in answer.aiter_lines():
                if not line.startswith("data: ") or line == "data: [DONE]":
                    continue
                event = json.loads(line[6:])
                if event["type"] == "speech.audio.delta":
                    audio += base64.b64decode(event.get("delta") or event["audio"])
                elif event["type"] == "speech.audio.done":
                    done = event
        assert done and done["usage"]["total_tokens"] == sum(
            done["usage"][name] for name in ("input_tokens", "output_tokens")
        )
        return decoded(audio)


async def pipecat(
    api: openai.AsyncOpenAI, text: str, voice: str = "alloy", model: str = "gpt-4o-mini-tts", **more: Any
) -> np.ndarray:
    """OpenAITTSService: raw pcm at 24 kHz in pieces. more: instructions, speed."""
    asked = {"input": text, "model": model, "voice": voice, "response_format": "pcm"} | more
    async with api.audio.speech.with_streaming_response.create(**asked) as answer:
        assert answer.status_code == 200, await answer.text()
        return samples(b"".join([piece async for piece in answer.iter_bytes(1024)]))


async def silly_tavern(
    client: httpx.AsyncClient, endpoint: str, text: str, voice: str, speed: float = 1, **custom: Any
) -> np.ndarray:
    """The server side of its OpenAI-compatible provider. custom: the parameters that its user typed, as text."""
    body = {"input": text, "response_format": "mp3", "voice": voice, "speed": speed, "model": "tts-1"}
    answer = await client.post(endpoint, json=body | custom, headers=KEY)
    answer.raise_for_status()
    return decoded(answer.content)


class HomeAssistant:
    """The integration openai_tts. url: of the speech call. All methods block."""

    def __init__(self, url: str) -> None:
        self.url = url

    def voices(self) -> dict[str, str]:
        """Ids to labels, from the first of three keys that is there."""
        listing = self.url.removesuffix("/speech") + "/voices?limit=100"
        with urllib.request.urlopen(urllib.request.Request(listing, headers=KEY), timeout=30) as answer:
            found = json.load(answer)
        items = found.get("items") or found.get("data") or found.get("voices") or []
        return {item["id"]: item.get("name") or item["id"] for item in items}

    def speak(self, text: str, voice: str, format: str = "mp3", **extra: Any) -> np.ndarray:
        """extra: instructions, and the fields of the user's `extra_payload`."""
        body = {
            "model": "tts-1",
            "input": text,
            "voice": voice,
            "response_format": format,
            "speed": 1.0,
        } | extra
        headers = KEY | {"content-type": "application/json", "user-agent": "HomeAssistant-OpenAI-TTS"}
        asked = urllib.request.Request(self.url, json.dumps(body).encode(), headers, method="POST")
        with urllib.request.urlopen(asked, timeout=60) as answer:
            return decoded(answer.read())


class WyomingOpenAI:
    """wyoming_openai: finds out what kind of server it has, lists its voices, and streams wav or pcm."""

    def __init__(self, api: openai.AsyncOpenAI) -> None:
        self.api = api

    async def backend(self) -> str:
        if await self._answers("/readyz"):
            return "LocalAI"
        if (found := await self._answers("../../health")) and found.text == "OK":
            return "Speaches"
        if (found := await self._answers("/test")) and found.json().get("status") == "ok":
            return "Kokoro-FastAPI"
        return "OpenAI"

    async def voices(self) -> list[str]:
        """For Kokoro-FastAPI: names from a list, or from one under `voices`, of strings or objects."""
        found = (await self.api._client.get("/audio/voices")).raise_for_status().json()
        items = found.get("voices", []) if isinstance(found, dict) else found
        return [item if isinstance(item, str) else item.get("id") or item["name"] for item in items]

    async def speak(self, text: str, voice: str, model: str = "tts-1", **more: Any) -> np.ndarray:
        """Reads the WAV header, whose length it does not use, and takes the rest as samples."""
        asked = {"input": text, "model": model, "voice": voice, "response_format": "wav"} | more
        async with self.api.audio.speech.with_streaming_response.create(**asked) as answer:
            audio = b"".join([piece async for piece in self._pieces(answer)])
        assert (audio[:4], audio[8:16], audio[36:40]) == (b"RIFF", b"WAVEfmt ", b"data")
        assert int.from_bytes(audio[24:28], "little") == RATE
        return samples(audio[44:])

    async def _pieces(self, answer: Any) -> AsyncIterator[bytes]:
        async for piece in answer.iter_bytes(2048):
            yield piece

    async def _answers(self, path: str) -> httpx.Response | None:
        answer = await self.api._client.get(path)
        return answer if answer.is_success else None
