"""`chorale jobs`: the jobs of a service."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import httpx

from deployments.contract.errors import ChoraleError, InvalidInput, NotFound, Unavailable

CALL_S = 60.0
KEY_VARIABLE = "CHORALE_API_KEY"


class Client:
    """A service's /v1/jobs, with the API key in KEY_VARIABLE.

    Its methods raise the service's errors, and Unavailable if nothing responds.
    """

    def __init__(self, server: str) -> None:
        key = os.environ.get(KEY_VARIABLE)
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self._http = httpx.Client(base_url=server.rstrip("/"), timeout=CALL_S, headers=headers)
        self._server = server

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._http.close()

    def submit(self, file: Path, fields: dict[str, str], cover: Path | None = None) -> dict[str, Any]:
        with ExitStack() as opened:
            paths = {"file": file} | ({"cover": cover} if cover is not None else {})
            files = {name: (path.name, opened.enter_context(path.open("rb"))) for name, path in paths.items()}
            return self._asked("POST", "/v1/jobs", data=fields, files=files)

    def get(self, job_id: str) -> dict[str, Any]:
        return self._asked("GET", f"/v1/jobs/{job_id}")

    def list(self, limit: int) -> list[dict[str, Any]]:
        return self._asked("GET", "/v1/jobs", params={"limit": limit})["data"]

    def log(self, job_id: str) -> list[dict[str, Any]]:
        return self._asked("GET", f"/v1/jobs/{job_id}/log")["data"]

    def cancel(self, job_id: str) -> dict[str, Any]:
        return self._asked("POST", f"/v1/jobs/{job_id}/cancel")

    def delete(self, job_id: str) -> None:
        self._asked("DELETE", f"/v1/jobs/{job_id}")

    def clean(self) -> int:
        return self._asked("POST", "/v1/jobs/clean")["deleted"]

    def download(self, output: dict[str, Any], path: Path) -> None:
        """One of a job's outputs. The file appears under its name when it is complete."""
        part = path.with_name(f".{path.name}.part")
        try:
            with self._http.stream("GET", httpx.URL(output["url"])) as answer, part.open("wb") as file:
                if answer.status_code != 200:
                    answer.read()
                    raise _error(answer)
                for piece in answer.iter_bytes():
                    file.write(piece)
            part.replace(path)
        except httpx.HTTPError as error:
            raise self._gone(error) from None
        finally:
            part.unlink(missing_ok=True)

    def _asked(self, method: str, path: str, **content: Any) -> Any:
        try:
            answer = self._http.request(method, path, **content)
        except httpx.HTTPError as error:
            raise self._gone(error) from None
        if answer.status_code >= 400:
            raise _error(answer)
        return answer.json()

    def _gone(self, error: Exception) -> Unavailable:
        return Unavailable(f"no service responds at {self._server}: {str(error) or type(error).__name__}")


def _error(answer: httpx.Response) -> ChoraleError:
    try:
        said = answer.json()["error"]
        kinds = {404: NotFound, 429: Unavailable, 503: Unavailable}  # a busy service may answer later
        kind = kinds.get(answer.status_code, InvalidInput if answer.status_code < 500 else ChoraleError)
        return kind(said["message"], param=said["param"], code=said["code"])
    except (ValueError, KeyError, TypeError):
        return Unavailable(f"this is not a Chorale service: it responds with {answer.status_code}")


def rows(jobs: list[dict[str, Any]]) -> Iterator[list[str]]:
    """The id, state, progress, time left and title of each job."""
    for job in jobs:
        progress = job["progress"]
        state = f"{job['state']} (paused)" if job["paused"] else job["state"]
        yield [job["id"], state, f"{progress['percent']:.0f} %", progress["remaining"] or "", job["title"]]


def details(job: dict[str, Any], log: list[dict[str, Any]]) -> Iterator[str]:
    """A job and its log, for people."""
    progress = job["progress"]
    yield f"{job['title']} — {job['state']}, {progress['percent']:.1f} %"
    yield f"segments   {progress['segments_done']} of {progress['segments']}, faults {job['faults']}"
    left = f", {progress['remaining']} left" if progress["remaining"] else ""
    yield f"time       {progress['elapsed']}{left}"
    if job["paused"]:
        yield f"paused     {job['paused']}"
    if job["error"]:
        yield f"error      {job['error']['message']}"
    for output in job["outputs"]:
        yield f"file       {output['name']} ({output['bytes']:,} bytes)"
    yield from (f"log        {line['message']}" for line in log)


def name_of(output: Mapping[str, Any]) -> str:
    """The name of an output, which never leads out of a folder, whatever the service says."""
    return Path(output["name"]).name


def main_output(job: Mapping[str, Any]) -> dict[str, Any]:
    """The job's first file. Raises NotFound if there is none yet."""
    if not job["outputs"]:
        raise NotFound(f"the job has no files yet: it is {job['state']}", param="job")
    return job["outputs"][0]
