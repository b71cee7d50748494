"""The exporter that Serve calls for its traces."""

from __future__ import annotations

from importlib.util import find_spec

import pytest
from opentelemetry.sdk.trace import SpanProcessor
from ray.serve._private.tracing_utils import _validate_tracing_exporter

from deployments import tracing


def exporter_is_installed() -> bool:
    try:
        return find_spec("opentelemetry.exporter.otlp.proto.http") is not None
    except ModuleNotFoundError:
        return False


def test_serve_accepts_the_function() -> None:
    _validate_tracing_exporter(tracing.otlp)


def test_it_exports_or_names_the_package_that_is_missing() -> None:
    if not exporter_is_installed():
        with pytest.raises(ImportError, match="opentelemetry-exporter-otlp-proto-http"):
            tracing.otlp()
        return
    (processor,) = tracing.otlp()
    assert isinstance(processor, SpanProcessor)
    processor.shutdown()
