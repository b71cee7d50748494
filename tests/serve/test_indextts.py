"""IndexTTS on the real graph: the golden checkpoint, a voice cloned from an upload, the published samples."""

from __future__ import annotations

import asyncio
import base64
import io
from collections.abc import Iterator

import httpx
import numpy as np
import pytest
import soundfile
import soxr
from safetensors.numpy import load_file

from serve_app.service import SHIPPED_VOICES
from tests.golden.indextts_set import FOLDER, SPOKEN, TEXT_CASES
from tests.samples import INDEXTTS, check_http
from tests.serve.conftest import Cluster

REFERENCE = (FOLDER / "reference.wav").read_bytes()
SENTENCES = [case["text"] for case in TEXT_CASES["sentences"]]
GREEDY = {"model": "chorale-indextts", "response_format": "wav", "temperature": 0, "seed": 1}


@pytest.fixture(scope="module")
def service(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Iterator[httpx.Client]:
    """The service, with an uploaded voice "golden"."""
    from ray import serve

    from serve_app.app import build
    from serve_app.config.file import default_config_path, load_config

    _, settings = load_config(default_config_path().with_name("indextts.yaml"))
    options = {"model_dir": str(FOLDER / "checkpoint"), "positions": "published"}
    args = settings.to_args() | {
        "data_dir": str(tmp_path_factory.mktemp("data")),
        "family": {"name": "indextts", "options": options},
        "vocoder_chunk_size": 60,
        "gpt": {"slots": 4, "max_queue": 40},
    }
    serve.run(build(args), name="chorale", route_prefix="/")
    with httpx.Client(base_url=cluster.http, timeout=120) as client:
        answer = client.post(
            "/v1/audio/voices", data={"name": "golden"}, files={"audio_sample": ("reference.wav", REFERENCE)}
        )
        assert answer.status_code == 200, answer.text
        yield client
    serve.delete("chorale")


def samples(answer: httpx.Response) -> np.ndarray:
    """int16 (N,)"""
    assert answer.status_code == 200, answer.text
    sound, rate = soundfile.read(io.BytesIO(answer.content), dtype="int16")
    assert rate == 24000
    return sound


def wav(waveform: np.ndarray, rate: int) -> bytes:
    file = io.BytesIO()
    soundfile.write(file, waveform, rate, format="WAV")
    return file.getvalue()


def noise(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    return 0.1 * np.random.default_rng(0).standard_normal((int(seconds * rate), channels))


def voice(seconds: float, rate: int, channels: int = 1) -> np.ndarray:
    """A shipped recording, repeated."""
    waveform, own = soundfile.read(SHIPPED_VOICES / "ross.flac")
    made = np.resize(soxr.resample(waveform, own, rate), int(seconds * rate))
    return np.repeat(made[:, None], channels, axis=1)


@pytest.mark.parametrize("index", SPOKEN)
@pytest.mark.parametrize("inline", [False, True])
def test_a_cloned_voice_speaks_the_published_samples(service, index, inline):
    body = {**GREEDY, "input": SENTENCES[index], "max_tokens": 24}
    if inline:
        body["reference_audio"] = base64.b64encode(REFERENCE).decode()
    else:
        body["voice"] = "golden"
    found = samples(service.post("/v1/audio/speech", json=body)).astype(int)
    wanted = load_file(FOLDER / "expected" / "e2e.safetensors")[f"infer.s{index}.pcm16"][0]
    assert found.shape == wanted.shape
    assert np.abs(found - wanted).max() <= 3


def test_the_shipped_voices_can_be_cloned(service):
    names = [voice["name"] for voice in service.get("/v1/audio/voices").json()["data"]]
    shipped = next(name for name in names if name != "golden")
    body = {**GREEDY, "input": SENTENCES[1], "max_tokens": 20}
    first, golden = (
        samples(service.post("/v1/audio/speech", json=body | {"voice": v})) for v in (shipped, "golden")
    )
    assert len(first) and not np.array_equal(first[: len(golden)], golden[: len(first)])


async def test_many_requests_at_once_equal_each_alone(service):
    bodies = [
        {
            **GREEDY,
            "input": SENTENCES[n % 4],
            "voice": "golden",
            "seed": n,
            "temperature": (0, 0.8)[n // 4 % 2],
        }
        | {"max_tokens": 40, "repetition_penalty": 1.2}
        for n in range(10)
    ]
    async with httpx.AsyncClient(base_url=service.base_url, timeout=120) as client:
        alone = [samples(await client.post("/v1/audio/speech", json=body)) for body in bodies]
        answers = await asyncio.gather(*(client.post("/v1/audio/speech", json=body) for body in bodies * 2))
    assert len({sound.tobytes() for sound in alone}) == 8  # the last two have the texts of the first two
    for answer, expected in zip(answers, alone * 2, strict=True):
        np.testing.assert_array_equal(samples(answer), expected)


@pytest.mark.parametrize(
    ("recording", "says"),
    [
        (b"", "empty"),
        (b"this is no audio at all", "not a readable audio file"),
        (wav(np.zeros(24000), 24000), "silent"),
        (wav(noise(0.1, 24000), 24000), "at least 0.5 s"),
        (wav(noise(5, 24000), 24000), "no voice"),
    ],
    ids=["empty", "text", "silent", "short", "noise"],
)
def test_an_unusable_reference_is_a_client_error(service, recording, says):
    answer = service.post(
        "/v1/audio/voices", data={"name": "bad"}, files={"audio_sample": ("a.wav", recording)}
    )
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["param"] == "audio_sample"
    assert says in error["message"]
    assert "Traceback" not in answer.text and "/" not in error["message"].replace("ogg/opus", "")


@pytest.mark.parametrize(
    "recording",
    [wav(voice(600, 8000), 8000), wav(voice(2, 96000, 6), 96000)],
    ids=["ten minutes", "six channels at 96 kHz"],
)
def test_an_unusual_reference_is_used(service, recording):
    body = {
        **GREEDY,
        "input": SENTENCES[0],
        "max_tokens": 12,
        "reference_audio": base64.b64encode(recording).decode(),
    }
    assert len(samples(service.post("/v1/audio/speech", json=body)))


@pytest.mark.parametrize(
    ("change", "param"),
    [
        ({"language": "fr"}, "language"),
        ({"input": "[pause:99s]"}, "input"),
        ({"top_p": 0}, "top_p"),
        ({"beams": 3}, "beams"),
    ],
)
def test_bad_fields_are_named(service, change, param):
    answer = service.post(
        "/v1/audio/speech", json={**GREEDY, "input": SENTENCES[0], "voice": "golden"} | change
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == param


def test_the_status_describes_the_model_and_its_stages(service):
    assert "chorale-indextts" in {model["id"] for model in service.get("/v1/models").json()["data"]}
    status = service.get("/v1/status").json()
    assert status["ready"] is True


@pytest.mark.parametrize("case", INDEXTTS, ids=lambda case: case.key)
async def test_recorded_samples(service, case):
    await check_http(str(service.base_url), case)
