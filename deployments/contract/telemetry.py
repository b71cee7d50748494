"""Every metric of the service: name, kind, unit, labels. `deployments.metrics` exports them through Ray.

docs/metrics.md, the Grafana dashboard and the alert rules are generated from this list (k8s/telemetry.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, Protocol

PREFIX = "ray_"  # which Ray puts before every name


@dataclass(frozen=True, slots=True)
class Instrument:
    """labels: the values that `Recorder.record` needs. buckets: upper bounds, of a histogram only."""

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    unit: str
    help: str
    labels: tuple[str, ...] = ()
    buckets: tuple[float, ...] = ()

    @property
    def exported(self) -> str:
        """The name in Prometheus. A histogram's series add _bucket, _sum and _count."""
        return f"{PREFIX}{self.name}_total" if self.kind == "counter" else f"{PREFIX}{self.name}"


class Recorder(Protocol):
    def record(self, instrument: Instrument, value: float, **labels: str) -> None:
        """Adds to a counter, sets a gauge, or adds an observation to a histogram."""


class Unrecorded:
    """The recorder of processes without metrics, such as `chorale speak`."""

    def record(self, instrument: Instrument, value: float, **labels: str) -> None:
        pass


SECONDS = (0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0)
RATIOS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.0, 5.0)

# the ingress and the runner of jobs: once per request

REQUESTS = Instrument(
    "chorale_requests",
    "counter",
    "requests",
    "HTTP requests, by route and status; the route proxy: answered by the guard in Serve's proxy",
    ("endpoint", "status"),
)
ERRORS = Instrument(
    "chorale_errors",
    "counter",
    "requests",
    "failed requests, by the code of the error body; status 200: the response had already begun",
    ("endpoint", "status", "code"),
)
TTFA = Instrument(
    "chorale_ttfa_seconds",
    "histogram",
    "seconds",
    "time to first audio: from the parsed request to its first sound",
    ("model",),
    SECONDS,
)
RTF = Instrument(
    "chorale_rtf",
    "histogram",
    "ratio",
    "real-time factor of a request: seconds spent waiting for sound per second of sound",
    ("model", "source"),
    RATIOS,
)
AUDIO_SECONDS = Instrument(
    "chorale_audio_seconds", "counter", "seconds", "sound produced", ("model", "source")
)
CHARACTERS = Instrument(
    "chorale_characters", "counter", "characters", "text of finished speech", ("model", "source")
)
SEGMENT_FAULTS = Instrument(
    "chorale_segment_faults",
    "counter",
    "segments",
    "segments whose codes could not be speech: retried with another seed, or cut off",
    ("model", "fault"),
)
STREAMS = Instrument("chorale_streams", "gauge", "requests", "speech responses being sent, in each ingress")
PROMPTS = Instrument(
    "chorale_voice_prompts",
    "counter",
    "look-ups",
    "voice prompts by where they came from: ingress, memory (of the voice encoder), disk, or encoded",
    ("model", "source"),
)
JOBS = Instrument("chorale_jobs", "gauge", "jobs", "jobs in the database, by state", ("state",))

# the schedulers of gpt and vocoder: every few seconds

QUEUE_DEPTH = Instrument(
    "chorale_queue_depth", "gauge", "items", "items that wait for a slot", ("model", "stage")
)
QUEUE_AGE = Instrument(
    "chorale_queue_age_seconds",
    "gauge",
    "seconds",
    "how long the oldest waiting item has waited; background work does not count",
    ("model", "stage"),
)
QUEUE_WAIT = Instrument(
    "chorale_queue_wait_seconds",
    "histogram",
    "seconds",
    "how long requests waited for their first slot",
    ("model", "stage"),
    (0.001, 0.005, 0.01, *SECONDS),
)
IN_SLOTS = Instrument("chorale_slots_used", "gauge", "items", "items in slots", ("model", "stage"))
LEASES = Instrument("chorale_leases", "gauge", "leases", "leases that are open", ("model", "stage"))
LEASES_WANTED = Instrument(
    "chorale_leases_wanted",
    "gauge",
    "leases",
    "leases that the work in flight would fill",
    ("model", "stage"),
)
DEMAND = Instrument(
    "chorale_demand",
    "gauge",
    "replicas",
    "replicas that the work fills on average, from which the stage is scaled",
    ("model", "stage"),
)
LEASE_LOSSES = Instrument(
    "chorale_lease_losses", "counter", "leases", "leases that ended with their replica", ("model", "stage")
)
ITEMS = Instrument(
    "chorale_items",
    "counter",
    "items",
    "segments (gpt) and chunks (vocoder) by outcome; refused: the queue was full; requeued: their lease ended",
    ("model", "stage", "outcome"),
)

# the replicas of gpt and vocoder: every few seconds while they have a lease

SLOTS = Instrument(
    "chorale_slots", "gauge", "items", "items that a replica takes at once", ("model", "stage")
)
STEPS = Instrument(
    "chorale_steps",
    "counter",
    "steps",
    "device steps: graph replays, or eager (a TorchScript program counts as eager)",
    ("model", "stage", "path"),
)
BATCH_ROWS = Instrument(
    "chorale_batch_rows",
    "counter",
    "rows",
    "rows of all device steps; divided by the steps, the mean batch size",
    ("model", "stage"),
)
CODES = Instrument("chorale_codes", "counter", "codes", "codes that the GPT decoded", ("model",))
DEVICE_MEMORY = Instrument(
    "chorale_device_memory_bytes",
    "gauge",
    "bytes",
    "memory of a replica: rss, weights, kv_cache, buffer; on a card also device_allocated, device_reserved, and "
    "card_used and card_total of all programs",
    ("model", "stage", "kind"),
)
DEVICE_UTILIZATION = Instrument(
    "chorale_device_utilization",
    "gauge",
    "percent",
    "recent time in which the card was busy",
    ("model", "stage"),
)

GROUPS: Mapping[str, tuple[Instrument, ...]] = {
    "Requests and speech": (
        REQUESTS, ERRORS, TTFA, RTF, AUDIO_SECONDS, CHARACTERS, SEGMENT_FAULTS, STREAMS, PROMPTS
    ),
    "Jobs": (JOBS,),
    "Queues and leases": (
        QUEUE_DEPTH, QUEUE_AGE, QUEUE_WAIT, IN_SLOTS, LEASES, LEASES_WANTED, DEMAND, LEASE_LOSSES, ITEMS
    ),
    "Replicas": (SLOTS, STEPS, BATCH_ROWS, CODES, DEVICE_MEMORY, DEVICE_UTILIZATION),
}  # fmt: skip
INSTRUMENTS = tuple(instrument for group in GROUPS.values() for instrument in group)
