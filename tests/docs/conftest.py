"""`chorale serve` as a user starts it, once for all documents."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

from serve_app.cli.demo import Server


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address. At the end, Ctrl-C must stop the service cleanly."""
    folder = tmp_path_factory.mktemp("served")
    server = Server(folder / "serve.log", env={"CHORALE_DATA_DIR": str(folder / "data")})
    try:
        server.wait_ready()
        yield server.http
    finally:
        clean = server.stop(signal.SIGINT)
    assert clean, (folder / "serve.log").read_text()
