"""Where Serve's traces go. Serve makes the spans; it calls `otlp` in each of its processes if configured:

RAY_SERVE_TRACING_EXPORTER_IMPORT_PATH=deployments.tracing:otlp
"""

from opentelemetry.sdk.trace import SpanProcessor
from opentelemetry.sdk.trace.export import BatchSpanProcessor


def otlp() -> list[SpanProcessor]:
    """Sends spans over OTLP/HTTP, as OpenTelemetry's variables say (OTEL_EXPORTER_OTLP_ENDPOINT, OTEL_SERVICE_NAME).

    Raises ImportError without the exporter's package.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import (  # pyright: ignore[reportMissingImports]
            OTLPSpanExporter,
        )
    except ImportError:
        message = "traces over OTLP need the package opentelemetry-exporter-otlp-proto-http"
        raise ImportError(message) from None
    return [BatchSpanProcessor(OTLPSpanExporter())]
