"""/v1/jobs, with a runner beside the application."""

from __future__ import annotations

import asyncio
import io
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest
import soundfile
from PIL import Image

from serve_app.books.cover import MOST_BYTES
from serve_app.config.settings import Settings
from serve_app.http.app import create_app
from serve_app.jobs.jobs import Jobs
from serve_app.jobs.segments import Planned
from serve_app.service import Service
from tests.serve_app.books import atom_reader, epubs
from tests.serve_app.conftest import ToneBackend, alone
from tests.serve_app.jobs.conftest import TEXT, running

FINISHED = ("done", "done_with_faults", "failed", "cancelled")
LONG = "The tea is cold. " * 300
BOOK_LIMIT = 200_000


@pytest.fixture
def service(backend: ToneBackend, shipped: Path, tmp_path: Path) -> Service:
    args = {"data_dir": str(tmp_path / "data"), "jobs": {"max_book_bytes": BOOK_LIMIT}}
    settings = Settings.from_args(args, {})
    return Service(settings, alone(backend, settings), shipped)


@pytest.fixture
async def client(service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """Without a runner: jobs stay in the queue."""
    app = create_app(service)
    transport = httpx.ASGITransport(app, raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test", timeout=60) as client:
        yield client
    app.state.jobs.stores.jobs.database.close()


@pytest.fixture
async def working(client: httpx.AsyncClient, service: Service) -> AsyncIterator[httpx.AsyncClient]:
    """With a runner, which has its own connections, as in another process."""
    jobs = Jobs(service)
    async with running(jobs):
        yield client
    jobs.stores.jobs.database.close()


def body(**fields: Any) -> dict[str, Any]:
    return {"input": TEXT, "voice": "ada", "seed": 5, "format": "wav"} | fields


async def ended(client: httpx.AsyncClient, job_id: str) -> dict[str, Any]:
    while True:
        job = (await client.get(f"/v1/jobs/{job_id}")).json()
        if job["state"] in FINISHED:
            return job
        await asyncio.sleep(0.05)


async def test_a_text_becomes_a_job_whose_files_can_be_downloaded(working: httpx.AsyncClient) -> None:
    answer = await working.post("/v1/jobs", json=body(title="Tea: a story"))
    assert answer.status_code == 202
    job = answer.json()
    assert answer.headers["location"] == f"/v1/jobs/{job['id']}"
    assert (job["object"], job["state"], job["queue_position"]) == ("job", "queued", 1)
    assert (job["voice"], job["model"], job["format"], job["seed"]) == ("ada", "chorale-small", "wav", 5)
    job = await ended(working, job["id"])
    assert (job["state"], job["title"], job["error"], job["paused"]) == ("done", "Tea: a story", None, None)
    progress = job["progress"]
    assert (progress["percent"], progress["segments"], progress["segments_done"]) == (100.0, 6, 6)
    assert progress["characters"] == progress["characters_done"] > 80
    assert job["system"]["memory_total_bytes"] > 0 and job["process"]["memory_bytes"] > 0
    assert [output["name"] for output in job["outputs"]] == [
        "Tea a story.wav",
        "Tea a story.srt",
        "Tea a story.vtt",
    ]
    for output in job["outputs"]:
        file = await working.get(output["url"])
        assert file.status_code == 200 and len(file.content) == output["bytes"]
    audio = await working.get(f"/v1/jobs/{job['id']}/audio")
    assert audio.headers["content-type"] == "audio/wav"
    assert soundfile.info(io.BytesIO(audio.content)).duration == pytest.approx(
        progress["audio_seconds"], abs=2.0
    )
    part = await working.get(f"/v1/jobs/{job['id']}/audio", headers={"range": "bytes=44-143"})
    assert (part.status_code, part.content) == (206, audio.content[44:144])

    report = (await working.get(f"/v1/jobs/{job['id']}/report")).json()
    assert report["complete"] is True and report["spoken"] == report["segments"] == 6
    log = (await working.get(f"/v1/jobs/{job['id']}/log")).json()["data"]
    assert log[0]["message"].startswith("The job waits") and log[-1]["message"].startswith("Done: 6 of 6")
    segments = (await working.get(f"/v1/jobs/{job['id']}/segments", params={"limit": 4})).json()
    assert segments["has_more"] and [s["index"] for s in segments["data"]] == [0, 1, 2, 3]
    assert " ".join(s["text"] for s in segments["data"]).startswith("The tea is cold. It rains again.")


async def test_an_uploaded_text_is_a_book(working: httpx.AsyncClient) -> None:
    form = {
        "voice": "bob",
        "seed": "7",
        "format": "mp3",
        "temperature": "0",
        "subtitles": "false",
        "loudness": "null",
    }
    answer = await working.post("/v1/jobs", data=form, files={"file": ("../../etc/Tea.txt", TEXT.encode())})
    assert answer.status_code == 202, answer.text
    job = await ended(working, answer.json()["id"])
    assert (job["state"], job["title"], job["voice"]) == ("done", "Tea", "bob")
    assert [output["name"] for output in job["outputs"]] == ["Tea.mp3"]
    assert (await working.get(f"/v1/jobs/{job['id']}/audio")).headers["content-type"] == "audio/mpeg"


async def test_a_dry_run_tells_the_chapters_and_makes_nothing(client: httpx.AsyncClient) -> None:
    text = "Chapter 1\n\nThe tea is cold.\n\nChapter 2\n\nIt rains again."
    answer = await client.post("/v1/jobs?dry_run=true", files={"file": ("tea.txt", text.encode())})
    assert answer.status_code == 200
    found = answer.json()
    assert [(c["index"], c["title"], c["included"]) for c in found["chapters"]] == [
        (0, "Chapter 1", True), (1, "Chapter 2", True),
    ]  # fmt: skip
    assert all(c["characters"] > 10 and c["reason"] is None for c in found["chapters"])
    assert (await client.get("/v1/jobs")).json()["data"] == []


async def test_the_events_of_a_job_end_with_it_and_continue_after_a_line(working: httpx.AsyncClient) -> None:
    job_id = (await working.post("/v1/jobs", json=body())).json()["id"]
    events: list[tuple[str, Any]] = []
    number = None
    async with working.stream("GET", f"/v1/jobs/{job_id}/events") as stream:
        assert stream.headers["content-type"].startswith("text/event-stream")
        async for line in stream.aiter_lines():
            if line.startswith("id: "):
                number = int(line[4:])
            elif line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                events.append((name, json.loads(line[6:])))
    states = [data["state"] for name, data in events if name == "state"]
    assert states[-1] == "done"
    lines = [data["message"] for name, data in events if name == "log"]
    assert lines[0].startswith("The job waits") and lines[-1].startswith("Done")
    assert any(name == "progress" and data["progress"]["percent"] == 100.0 for name, data in events)
    again = await working.get(f"/v1/jobs/{job_id}/events", headers={"last-event-id": str(number)})
    assert "event: log" not in again.text and "event: state" in again.text


async def test_jobs_are_listed_cancelled_deleted_and_cleaned(client: httpx.AsyncClient) -> None:
    ids = [(await client.post("/v1/jobs", json=body(title=f"{n}"))).json()["id"] for n in range(3)]
    page = (await client.get("/v1/jobs", params={"limit": 2})).json()
    assert [job["id"] for job in page["data"]] == ids[:0:-1] and page["has_more"]
    assert [job["queue_position"] for job in page["data"]] == [3, 2]
    rest = (await client.get("/v1/jobs", params={"after": ids[1]})).json()
    assert [job["id"] for job in rest["data"]] == ids[:1] and not rest["has_more"]
    assert (await client.post(f"/v1/jobs/{ids[0]}/cancel")).json()["state"] == "cancelled"
    assert (await client.post("/v1/jobs/clean")).json() == {"deleted": 1}
    deleted = await client.delete(f"/v1/jobs/{ids[1]}")
    assert deleted.json() == {"id": ids[1], "object": "job.deleted", "deleted": True}
    for job_id in ids[:2]:
        gone = await client.get(f"/v1/jobs/{job_id}")
        assert (gone.status_code, gone.json()["error"]["code"]) == (404, "job_not_found")
    assert (await client.get(f"/v1/jobs/{ids[2]}/audio")).json()["error"]["code"] == "no_audio_yet"


async def test_a_segment_is_said_again_and_nothing_else(
    working: httpx.AsyncClient, backend: ToneBackend
) -> None:
    job_id = (await working.post("/v1/jobs", json=body())).json()["id"]
    await ended(working, job_id)
    before = (await working.get(f"/v1/jobs/{job_id}/audio")).content
    backend.started.clear()
    answer = await working.post(
        f"/v1/jobs/{job_id}/segments/2", json={"text": "Perhaps tomorrow.", "voice": "bob"}
    )
    assert answer.status_code == 202, answer.text
    job = await ended(working, job_id)
    assert job["state"] == "done" and len({work for work, *_ in backend.started}) == 1
    after = (await working.get(f"/v1/jobs/{job_id}/audio")).content
    assert after != before
    segments = (await working.get(f"/v1/jobs/{job_id}/segments")).json()["data"]
    assert (segments[2]["text"], segments[2]["speaker"], segments[2]["voice"]) == (
        "Perhaps tomorrow.", "bob", "bob",
    )  # fmt: skip
    assert (segments[1]["speaker"], segments[1]["voice"]) == (None, "ada")
    for wrong, param in (
        ({}, "seed"),
        ({"voice": "nobody"}, "voice"),
        ({"text": " "}, "text"),
        ({"text": "---"}, "text"),
        ({"text": "Добрый день"}, "text"),
        ({"x": 1}, "x"),
    ):
        refused = await working.post(f"/v1/jobs/{job_id}/segments/2", json=wrong)
        assert (refused.status_code, refused.json()["error"]["param"]) == (400, param)
    assert (await working.post(f"/v1/jobs/{job_id}/segments/99", json={"seed": 1})).status_code == 404


async def test_each_segment_can_be_heard(working: httpx.AsyncClient) -> None:
    job_id = (await working.post("/v1/jobs", json=body())).json()["id"]
    await ended(working, job_id)
    segments = (await working.get(f"/v1/jobs/{job_id}/segments")).json()["data"]
    for segment in segments:
        address = f"/v1/jobs/{job_id}/segments/{segment['index']}/audio"
        answer = await working.get(address)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/flac")
        about = soundfile.info(io.BytesIO(answer.content))
        assert about.duration == pytest.approx(segment["seconds"], abs=0.001)
        part = await working.get(address, headers={"range": "bytes=0-3", "if-range": answer.headers["etag"]})
        assert (part.status_code, part.content) == (206, b"fLaC")
    for index in (len(segments), -1, 2**31, 2**70):
        missing = await working.get(f"/v1/jobs/{job_id}/segments/{index}/audio")
        assert missing.status_code in (400, 404) and missing.json()["error"]["param"] == "index"


async def test_segments_with_problems_can_be_listed_alone(working: httpx.AsyncClient) -> None:
    text = "The tea is cold.\n\nДобрый день.\n\nIt rains again."
    job_id = (await working.post("/v1/jobs", json=body(input=text))).json()["id"]
    assert (await ended(working, job_id))["state"] == "done_with_faults"
    address = f"/v1/jobs/{job_id}/segments"
    assert len((await working.get(address)).json()["data"]) == 3
    (faulty,) = (await working.get(address, params={"flagged": True})).json()["data"]
    assert (faulty["text"], faulty["state"], faulty["index"]) == ("Добрый день.", "faulty", 1)
    silent = await working.get(f"{address}/1/audio")
    assert (silent.status_code, silent.json()["error"]["code"]) == (404, "no_audio_yet")
    assert (await working.post(f"{address}/1", json={"text": "Good day."})).status_code == 202
    assert (await ended(working, job_id))["state"] == "done"
    assert (await working.get(address, params={"flagged": True})).json()["data"] == []


async def test_a_segment_that_is_not_spoken_yet_has_no_audio(
    client: httpx.AsyncClient, service: Service
) -> None:
    job_id = (await client.post("/v1/jobs", json=body())).json()["id"]
    stores = Jobs(service).stores
    stores.jobs.claim("runner", 60, 1)
    stores.segments.add_chapter(job_id, "runner", 0, "A", [Planned(0, (0, 3), "Tea", "", 0.1)])
    answer = await client.get(f"/v1/jobs/{job_id}/segments/0/audio")
    assert (answer.status_code, answer.json()["error"]["code"]) == (404, "no_audio_yet")
    stores.jobs.database.close()


async def test_the_tag_of_a_file_changes_when_it_is_rewritten(working: httpx.AsyncClient) -> None:
    job_id = (await working.post("/v1/jobs", json=body())).json()["id"]
    await ended(working, job_id)
    first = await working.get(f"/v1/jobs/{job_id}/audio")
    tag = first.headers["etag"]
    same = await working.get(f"/v1/jobs/{job_id}/audio", headers={"if-none-match": tag})
    assert (same.status_code, same.content) == (304, b"")
    await working.post(f"/v1/jobs/{job_id}/segments/1", json={"seed": 99})
    await ended(working, job_id)
    resumed = {"range": "bytes=100-", "if-range": tag}
    after = await working.get(f"/v1/jobs/{job_id}/audio", headers=resumed)
    assert after.status_code == 200 and after.headers["etag"] != tag
    resumed["if-range"] = after.headers["etag"]
    part = await working.get(f"/v1/jobs/{job_id}/audio", headers=resumed)
    assert (part.status_code, part.content) == (206, after.content[100:])


async def test_the_address_of_a_job_is_below_the_route_prefix(service: Service) -> None:
    app = create_app(service)
    transport = httpx.ASGITransport(app, root_path="/voice")
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        answer = await client.post("/v1/jobs", json=body())
        address = f"/voice/v1/jobs/{answer.json()['id']}"
        assert answer.headers["location"] == address
        long = {"model": "tts-1", "input": LONG, "voice": "ada"}
        answer = await client.post("/v1/audio/speech", json=long)
        assert answer.headers["location"] == f"/voice/v1/jobs/{answer.json()['id']}"
    app.state.jobs.stores.jobs.database.close()


@pytest.mark.parametrize("request_", [{}, {"source": 1}, {"voices": {}}, {"later": "a field"}], ids=str)
async def test_a_stored_request_of_another_version_is_shown_and_can_be_deleted(
    working: httpx.AsyncClient, service: Service, request_: dict[str, Any]
) -> None:
    old = (await working.post("/v1/jobs", json=body(title="Old"))).json()["id"]
    await ended(working, old)
    stores = Jobs(service).stores
    stores.jobs.set_request(old, lambda stored: {**stored, **request_} if request_ else {})
    queued = stores.jobs.add("Queued", request_)
    new = (await working.post("/v1/jobs", json=body())).json()["id"]
    assert (await ended(working, new))["state"] == "done", "the runner goes on"
    listed = {job["id"]: job for job in (await working.get("/v1/jobs")).json()["data"]}
    assert (listed[old]["title"], listed[old]["state"]) == ("Old", "done")
    assert listed[queued.id]["state"] == "failed"
    for job_id in (old, queued.id):
        card = (await working.get(f"/v1/jobs/{job_id}")).json()
        assert (card["error"]["code"], card["model"]) == ("unreadable_job", None)
        for path in ("segments", "log", "report", "events"):
            assert (await working.get(f"/v1/jobs/{job_id}/{path}")).status_code == 200
        assert (await working.delete(f"/v1/jobs/{job_id}")).status_code == 200
    stores.jobs.database.close()


def picture(kind: str = "PNG", size: tuple[int, int] = (60, 80)) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "teal").save(file, kind)
    return file.getvalue()


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
async def test_an_uploaded_cover_replaces_that_of_the_book(
    working: httpx.AsyncClient, tmp_path: Path, kind: str
) -> None:
    book = epubs.epub3(picture("JPEG", (10, 10))).build()
    found = await working.post("/v1/jobs?dry_run=true", files={"file": ("a.epub", book)})
    assert found.json()["cover"] == {"media_type": "image/jpeg", "width": 10, "height": 10}
    cover = picture(kind)
    files = {"file": ("a.epub", book), "cover": ("b.bin", cover)}
    answer = await working.post("/v1/jobs", data={"voice": "ada", "format": "m4b"}, files=files)
    assert answer.status_code == 202, answer.text
    job = await ended(working, answer.json()["id"])
    assert job["state"] == "done", job
    audio = await working.get(f"/v1/jobs/{job['id']}/audio")
    (tmp_path / "a.m4b").write_bytes(audio.content)
    assert atom_reader.Mp4(tmp_path / "a.m4b").value("covr") == cover


@pytest.mark.parametrize(
    ("cover", "status"),
    [
        (b"GIF89a", 400), (b"", 400), (picture()[:20], 400), (b"\x89PNG\r\n\x1a\n" + b"\0" * MOST_BYTES, 413),
        (picture(size=(1, 10_001)), 400),
    ],
    ids=["gif", "empty", "cut off", "bytes", "pixels"],
)  # fmt: skip
async def test_a_bad_cover_is_refused(client: httpx.AsyncClient, cover: bytes, status: int) -> None:
    files = {"file": ("a.txt", b"Hello."), "cover": ("cover.png", cover)}
    answer = await client.post("/v1/jobs", data={"voice": "ada"}, files=files)
    assert (answer.status_code, answer.json()["error"]["param"]) == (status, "cover"), answer.text
    text = await client.post(
        "/v1/jobs", data={"voice": "ada", "cover": "x"}, files={"file": ("a.txt", b"A.")}
    )
    assert (text.status_code, text.json()["error"]["param"]) == (400, "cover")
    assert (await client.get("/v1/jobs")).json()["data"] == []


BAD: dict[str, tuple[dict[str, Any], str]] = {
    "no text": ({"input": None}, "input"),
    "both": ({"script": [{"speaker": "a", "text": "b"}]}, "input"),
    "blank": ({"input": "  "}, "input"),
    "nothing to speak": ({"input": "---"}, "chapters"),
    "no voice": ({"voice": None}, "voice"),
    "unknown voice": ({"voice": "nobody"}, "voice"),
    "unknown control": ({"warp": 9}, "warp"),
    "bad control": ({"temperature": 99}, "temperature"),
    "bad format": ({"format": "exe"}, "format"),
    "bad mode": ({"mode": "fast"}, "mode"),
    "bucket": ({"bucket_size": 13}, "bucket_size"),
    "bucket as text": ({"bucket_size": "6"}, "bucket_size"),
    "chapters": ({"chapters": [7]}, "chapters"),
    "negative chapter": ({"chapters": [-1]}, "chapters.0"),
    "no chapters": ({"chapters": []}, "chapters"),
    "loud": ({"loudness": 3}, "loudness"),
    "pause": ({"paragraph_pause": 1e9}, "paragraph_pause"),
    "seed": ({"seed": -1}, "seed"),
    "true seed": ({"seed": True}, "seed"),
    "speed": ({"speed": 99}, "speed"),
}


@pytest.mark.parametrize("name", [name for name in BAD if name != "nothing to speak"])
async def test_bad_fields_are_named(client: httpx.AsyncClient, name: str) -> None:
    fields, param = BAD[name]
    answer = await client.post("/v1/jobs", json=body(**fields))
    assert answer.status_code == 400, answer.text
    error = answer.json()["error"]
    assert error["param"] == param and error["message"] and error["code"]
    assert (await client.get("/v1/jobs")).json()["data"] == []


async def test_an_unknown_model_is_404_with_the_models(client: httpx.AsyncClient) -> None:
    error = (await client.post("/v1/jobs", json=body(model="none"))).json()["error"]
    assert error["param"] == "model" and "chorale-small" in error["message"]


@pytest.mark.parametrize(
    ("form", "param"),
    [
        ({"chapters": "[1"}, "chapters"),
        ({"voices": '["a"]'}, "voices"),
        ({"seed": "five"}, "seed"),
        ({"temperature": "hot"}, "temperature"),
        ({"per_chapter": "perhaps"}, "per_chapter"),
        ({"script": "[" * 100_000}, "script"),
    ],
)
async def test_bad_fields_of_a_form_are_named(
    client: httpx.AsyncClient, form: dict[str, str], param: str
) -> None:
    answer = await client.post("/v1/jobs", data={"voice": "ada"} | form, files={"file": ("a.txt", b"Hello.")})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)


async def test_a_file_that_is_too_large_is_refused_while_it_is_sent(client: httpx.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        yield b'--x\r\ncontent-disposition: form-data; name="file"; filename="a.txt"\r\n\r\n'
        while True:
            sent += 65536
            yield b"word " * 13107
            await asyncio.sleep(0)

    headers = {"content-type": "multipart/form-data; boundary=x"}
    answer = await client.post("/v1/jobs", content=endless(), headers=headers)
    assert (answer.status_code, answer.json()["error"]["code"]) == (413, "request_too_large")
    assert sent < BOOK_LIMIT + MOST_BYTES + 2 * 2**20
    over = await client.post(
        "/v1/jobs", data={"voice": "ada"}, files={"file": ("a.txt", b"a" * (BOOK_LIMIT + 1))}
    )
    assert (over.status_code, over.json()["error"]["param"]) == (413, "file")


async def test_a_long_text_on_the_interactive_call_becomes_a_job(working: httpx.AsyncClient) -> None:
    speech = {"model": "tts-1", "input": LONG, "voice": "ada", "seed": 3, "response_format": "wav"}
    answer = await working.post("/v1/audio/speech", json=speech)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/jobs/{answer.json()['id']}"
    job = await ended(working, answer.json()["id"])
    assert job["state"] == "done" and job["progress"]["segments"] == 300
    assert [output["format"] for output in job["outputs"]] == ["wav"]


@pytest.mark.parametrize("how", [{"stream_format": "audio"}, {"stream_format": "sse"}])
async def test_a_long_text_streams_to_a_client_that_streams(
    client: httpx.AsyncClient, how: dict[str, str]
) -> None:
    speech = {"model": "tts-1", "input": LONG, "voice": "ada", "response_format": "pcm"} | how
    answer = await client.post("/v1/audio/speech", json=speech)
    assert answer.status_code == 200 and len(answer.content) > 100_000
    assert (await client.get("/v1/jobs")).json()["data"] == []


async def test_a_long_text_streams_to_openais_library_when_it_streams(server: str) -> None:
    async with openai.AsyncOpenAI(base_url=f"{server}/v1", api_key="any") as library:
        asked = library.audio.speech.with_streaming_response.create(
            model="tts-1", voice="ada", input=LONG, response_format="pcm"
        )
        async with asked as stream:
            assert stream.status_code == 200
            assert len(await stream.read()) > 100_000


async def test_a_recording_in_a_long_request_is_kept_for_its_job(
    working: httpx.AsyncClient, make_wav: Any
) -> None:
    import base64

    speech = {"model": "tts-1", "input": LONG, "response_format": "wav"}
    speech |= {"reference_audio": base64.b64encode(make_wav(pitch=330.0)).decode(), "reference_text": "la"}
    answer = await working.post("/v1/audio/speech", json=speech)
    assert answer.status_code == 202, answer.text
    job = await ended(working, answer.json()["id"])
    assert (job["state"], job["voice"]) == ("done", "reference_audio"), job["error"]


async def test_the_address_of_a_file_is_one_for_every_title(working: httpx.AsyncClient) -> None:
    job = (await working.post("/v1/jobs", json=body(title="50% tea #1", subtitles=False))).json()
    (output,) = (await ended(working, job["id"]))["outputs"]
    assert output["name"] == "50% tea #1.wav"
    assert output["url"].endswith("/50%25%20tea%20%231.wav")
    assert len((await working.get(output["url"])).content) == output["bytes"]


async def test_an_uploaded_file_is_never_the_text_or_the_script_of_a_request(
    client: httpx.AsyncClient,
) -> None:
    form = {"voice": "ada"}
    refused = await client.post("/v1/jobs", data=form, files={"file": ("script.json", b"{")})
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "file")
    job = (await client.post("/v1/jobs", data=form, files={"file": ("text.txt", b"Good tea.")})).json()
    assert (job["title"], job["format"]) == ("text", "m4b")


@pytest.mark.parametrize("name", ["input", "script"])
async def test_a_form_with_a_second_text_is_refused(client: httpx.AsyncClient, name: str) -> None:
    form = {"voice": "ada", name: '[{"text": "Tea."}]'}
    answer = await client.post("/v1/jobs", data=form, files={"file": ("a.txt", b"Hello.")})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, name)


@pytest.mark.parametrize("text", ["\\ud800 tea", "tea \\u0000"])
async def test_a_script_that_no_database_can_hold_is_refused(client: httpx.AsyncClient, text: str) -> None:
    script = f'{{"voice": "ada", "script": [{{"text": "{text}"}}]}}'
    headers = {"content-type": "application/json"}
    answer = await client.post("/v1/jobs", content=script, headers=headers)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "script")
