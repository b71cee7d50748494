"""Settings for all tests, and the service that several folders share."""

from __future__ import annotations

import signal
from collections.abc import Iterator

import pytest

try:
    from hypothesis import HealthCheck, settings
except ImportError:  # `make gpu` runs tests with only torch installed
    pass
else:
    # no deadlines, because the machine may be busy
    settings.register_profile("chorale", deadline=None, suppress_health_check=[HealthCheck.too_slow])
    # `make fuzz`: new input in each run; a failure prints what repeats it
    settings.register_profile("fuzz", settings.get_profile("chorale"), print_blob=True)
    settings.load_profile("chorale")


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of `chorale serve` as a user starts it. At the end, Ctrl-C must stop it cleanly."""
    from serve_app.cli.demo import Server

    folder = tmp_path_factory.mktemp("served")
    server = Server(folder / "serve.log", env={"CHORALE_DATA_DIR": str(folder / "data")})
    try:
        server.wait_ready()
        yield server.http
    finally:
        clean = server.stop(signal.SIGINT)
    assert clean, (folder / "serve.log").read_text()
