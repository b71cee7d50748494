"""A configuration is rolled out while a client listens for longer than Serve lets a replica finish by default."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from ray.serve._private.constants import DEFAULT_GRACEFUL_SHUTDOWN_TIMEOUT_S

from tests.serve.conftest import Service
from tests.serve.shared.test_service import SENTENCES


@pytest.mark.nightly
@pytest.mark.timeout(400)
async def test_a_roll_out_cuts_no_stream(service: Service) -> None:
    from ray import serve

    from serve_app.app import build

    body = {"model": "tts-1", "input": " ".join(SENTENCES), "voice": service.voices[0], "seed": 3}
    body |= {"response_format": "pcm"}
    begun, over = asyncio.Event(), asyncio.Event()

    async def listen() -> bytes:
        """Reads slowly until the roll-out is over, as a player does: the service stays little ahead."""
        data = bytearray()
        async with client.stream("POST", "/v1/audio/speech", json=body) as answer:
            assert answer.status_code == 200
            async for piece in answer.aiter_raw():
                data += piece
                begun.set()
                if not over.is_set():
                    await asyncio.sleep(2)
        return bytes(data)

    async def ingress() -> int:
        return (await client.get("/v1/status")).json()["ingress"]["pid"]

    async with httpx.AsyncClient(base_url=service.http, timeout=300) as client:
        whole = (await client.post("/v1/audio/speech", json=body)).content
        listening = asyncio.create_task(listen())
        await begun.wait()
        before, clock = await ingress(), asyncio.get_running_loop().time
        changed = build({**service.args, "ingress": {"window": 2}, "gpt": {"emit_every": 12}})
        began = clock()
        rolling = asyncio.create_task(  # until the last old replica has ended
            asyncio.to_thread(serve.run, changed, name="chorale", route_prefix="/")
        )
        while await ingress() == before:
            await asyncio.sleep(0.5)
        await asyncio.sleep(began + DEFAULT_GRACEFUL_SHUTDOWN_TIMEOUT_S + 15 - clock())
        assert not listening.done()
        over.set()
        assert await listening == whole
        await rolling
    await asyncio.to_thread(serve.run, build(service.args), name="chorale", route_prefix="/")
