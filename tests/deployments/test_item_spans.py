"""The spans of a lease's items, with OpenTelemetry's own SDK and a simulated worker."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_OFF
from opentelemetry.trace import StatusCode

from deployments.contract.work import WorkItem
from deployments.engine.device.thread import DeviceThread
from deployments.item_spans import ItemSpans, traced
from deployments.leases.device_loop import DeviceLoop
from deployments.leases.ledger import Ledger
from deployments.leases.loop import LeaseLoop
from tests.serve.sim_stage import SimWorker, request

ITEM = "request-1.0123abcd.0"


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> InMemorySpanExporter:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer", provider.get_tracer)
    return exporter


class Lease:
    """A lease on a simulated replica, whose reports reach the ledger through `ItemSpans`."""

    def __init__(self, device: DeviceLoop) -> None:
        self.book, self.worker = Ledger("Gpt", 2, 100), SimWorker(2, 0.001)
        loop, spans = LeaseLoop(self.worker, device), ItemSpans(self.book, "Gpt", "replica-1")
        self.book.open_lease("a")
        self.task = asyncio.create_task(self._hold(spans, loop))

    async def _hold(self, spans: ItemSpans, loop: LeaseLoop) -> None:
        async for report in spans.reports(loop.run(spans, "a")):
            self.book.deliver("a", list(report.events))

    async def work(self, item: WorkItem) -> None:
        async for _ in self.book.submit(item, admitted=True):
            pass

    async def busy(self, count: int) -> None:
        async with asyncio.timeout(20):
            while self.worker.active != count:
                await asyncio.sleep(0.005)

    async def end(self) -> None:
        self.task.cancel()
        await asyncio.gather(self.task, return_exceptions=True)


@pytest.fixture
def device() -> Iterator[DeviceLoop]:
    thread = DeviceThread("device")
    yield DeviceLoop(thread)
    thread.close()


def in_a_request(item: WorkItem) -> tuple[WorkItem, trace.SpanContext]:
    """The item as a scheduler takes it in a traced call, and the context of the call's span."""
    with trace.get_tracer(__name__).start_as_current_span("call") as span:
        return traced(item), span.get_span_context()


def of_items(written: InMemorySpanExporter) -> list[ReadableSpan]:
    return [span for span in written.get_finished_spans() if span.name != "call"]


async def test_an_item_has_a_span_in_that_of_its_request(written, device):
    item, call = in_a_request(WorkItem(ITEM, request(1, 30)))
    lease = Lease(device)
    await lease.work(item)
    await lease.end()
    (span,) = of_items(written)
    assert span.name == "item Gpt"
    assert span.parent is not None and span.context is not None
    assert (span.context.trace_id, span.parent.span_id) == (call.trace_id, call.span_id)
    assert span.attributes == {
        "item": ITEM, "request_id": "request-1", "deployment": "Gpt", "replica_id": "replica-1"
    }  # fmt: skip
    assert span.status.is_ok


async def test_a_cancelled_item_and_one_whose_lease_is_lost_end_with_the_reason(written, device):
    first, _ = in_a_request(WorkItem("cancelled", request(1, 10**9)))
    second, _ = in_a_request(WorkItem("lost", request(2, 10**9)))
    lease = Lease(device)
    listeners = [asyncio.create_task(lease.work(item)) for item in (first, second)]
    await lease.busy(2)
    listeners[0].cancel()
    await lease.busy(1)
    await lease.end()
    found = {(span.attributes or {})["item"]: span.status for span in of_items(written)}
    assert {name: status.description for name, status in found.items()} == {
        name: name for name in ("cancelled", "lost")
    }
    assert {status.status_code for status in found.values()} == {StatusCode.ERROR}
    listeners[1].cancel()


async def test_an_item_of_a_request_that_is_not_traced_has_none(written, device):
    tracer = TracerProvider(sampler=ALWAYS_OFF).get_tracer(__name__)
    with tracer.start_as_current_span("call"):
        item = traced(WorkItem(ITEM, request(1, 30)))
    assert item.trace is None
    lease = Lease(device)
    await lease.work(item)
    await lease.end()
    assert not of_items(written)
