"""Spans of the items in a leased replica, which Serve cannot make: a lease serves many requests at once.

A scheduler puts the context of the call that brought an item into it, and the replica's span continues it. An item of a
request that is not traced costs a look at the current span.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import replace

from opentelemetry import trace
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from deployments.contract.work import WorkItem, log_fields
from deployments.leases.loop import Report, WorkSource
from deployments.leases.records import Orders

TRACEPARENT = "traceparent"
CONTEXT = TraceContextTextMapPropagator()


def traced(item: WorkItem) -> WorkItem:
    """The item with the context of the current span, if that is recorded."""
    if not trace.get_current_span().is_recording():
        return item
    carrier: dict[str, str] = {}
    CONTEXT.inject(carrier)
    return replace(item, trace=carrier[TRACEPARENT])


class ItemSpans:
    """The spans of one lease: of each traced item, from the order to admit it to its last event.

    As a `WorkSource`, it passes on the orders of `source`. deployment, replica: names, for the spans.
    """

    def __init__(self, source: WorkSource, deployment: str, replica: str) -> None:
        self._source, self._deployment, self._replica = source, deployment, replica
        self._tracer = trace.get_tracer(__name__)
        self._spans: dict[str, trace.Span] = {}  # by item

    async def orders(self, lease_id: str, slots: int) -> AsyncGenerator[Orders]:
        async with aclosing(self._source.orders(lease_id, slots)) as stream:
            async for orders in stream:
                for item_id in orders.cancelled:
                    self._end(item_id, "cancelled")
                for item in orders.items:
                    if item.trace is not None:
                        self._begin(item, item.trace)
                yield orders

    async def reports(self, lease: AsyncGenerator[Report]) -> AsyncGenerator[Report]:
        """The lease's reports. Items that are not done at its end are lost."""
        try:
            async with aclosing(lease) as stream:
                async for report in stream:
                    if self._spans:
                        for event in report.events:
                            if event.error is not None or event.done:
                                self._end(event.id, event.error and event.error.code)
                    yield report
        finally:
            for item_id in list(self._spans):
                self._end(item_id, "lost")

    def _begin(self, item: WorkItem, parent: str) -> None:
        facts = {**log_fields(item.id), "deployment": self._deployment, "replica_id": self._replica}
        name, context = f"item {self._deployment}", CONTEXT.extract({TRACEPARENT: parent})
        self._spans[item.id] = self._tracer.start_span(name, context, attributes=facts)

    def _end(self, item_id: str, fault: str | None) -> None:
        """fault: why the item is not done, or None."""
        if (span := self._spans.pop(item_id, None)) is not None:
            if fault is not None:
                span.set_status(trace.Status(trace.StatusCode.ERROR, fault))
            span.end()
