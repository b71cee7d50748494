"""What a speech stream records."""

from __future__ import annotations

from typing import TYPE_CHECKING

from deployments.contract import telemetry
from deployments.contract.telemetry import Recorder, Unrecorded
from deployments.contract.work import BACKGROUND

if TYPE_CHECKING:
    from serve_app.synthesis.speech import Speech
    from serve_app.synthesis.stream import SpeechStream


class Meter:
    """Records streams of one model, once each: at its first sound and at its end."""

    def __init__(self, recorder: Recorder | None = None, model: str = "") -> None:
        self._recorder, self._model = recorder or Unrecorded(), model

    def first_sound(self, speech: Speech, seconds: float) -> None:
        """seconds: since the request was made."""
        if speech.priority < BACKGROUND:
            self._recorder.record(telemetry.TTFA, seconds, model=self._model)

    def ended(self, speech: Speech, stream: SpeechStream) -> None:
        """At the end, or when the client has left: what was spoken so far."""
        labels = {"model": self._model, "source": "job" if speech.priority >= BACKGROUND else "request"}
        record = self._recorder.record
        if stream.seconds:
            record(telemetry.RTF, stream.waited_s / stream.seconds, **labels)
            record(telemetry.AUDIO_SECONDS, stream.seconds, **labels)
            record(telemetry.CHARACTERS, len(speech.text), **labels)
        for fault, count in (("retried", stream.faults.retried), ("cut", stream.faults.cut)):
            record(telemetry.SEGMENT_FAULTS, count, model=self._model, fault=fault)
