"""A decoded recording. Uploaded voices and references in requests share this form."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from deployments.contract.errors import InvalidInput
from serve_app.audio.encode import wav_header

# Hz. Higher rates are resampled to this rate; lower rates are kept. Models resample for themselves, so a stored voice
# loses nothing for a family with another rate.
MAX_RATE = 48_000
FULL_SCALE = 32_768.0  # a power of two, so that conversion to float32 and back is exact


@dataclass(frozen=True, slots=True)
class Recording:
    """samples: int16 (N,), mono at `rate` Hz, at most MAX_RATE; warnings: keys of `examine.WARNINGS`."""

    samples: np.ndarray
    rate: int
    warnings: tuple[str, ...] = ()

    @classmethod
    def of(cls, waveform: np.ndarray, rate: int, warnings: tuple[str, ...] = ()) -> Recording:
        """waveform: float32 (N,), -1..1."""
        return cls(np.rint(waveform * FULL_SCALE).clip(-32_768, 32_767).astype("<i2"), rate, warnings)

    @property
    def waveform(self) -> np.ndarray:
        """float32 (N,), -1..1."""
        return self.samples.astype(np.float32) / np.float32(FULL_SCALE)

    def within(self, min_seconds: float, max_seconds: float, param: str) -> Recording:
        """The part that a model uses, the first `max_seconds`. Raises InvalidInput (param `param`) if it is short."""
        seconds, most = len(self.samples) / self.rate, int(max_seconds * self.rate)
        if round(seconds, 2) < min_seconds:  # a stored recording may be a sample shorter
            message = f"it contains {seconds:.2f} s of audio; at least {min_seconds:g} s are needed"
            raise InvalidInput(f"Invalid '{param}': {message}.", param=param)
        if len(self.samples) <= most:
            return self
        warnings = self.warnings if "cut" in self.warnings else (*self.warnings, "cut")
        return replace(self, samples=self.samples[:most], warnings=warnings)

    def to_wav(self) -> bytes:
        """The bytes of a WAV file that decodes to these samples."""
        return wav_header(self.samples.nbytes, self.rate) + self.samples.tobytes()
