"""What differs between v3 and v4, apart from weights. Needs no torch."""

from __future__ import annotations

from dataclasses import dataclass

from deployments.contract.controls import Control

STEPS = (4, 8, 16, 32)  # of the solver: numbers that its network was trained for
CODES_PER_SECOND = 25
MELS = 100
OVERLAP = 12  # frames that neighbouring chunks share


@dataclass(frozen=True, slots=True)
class Layout:
    """rate, window, hop: of the mel of a reference, in Hz and samples. stretch: features are this many times longer
    than the encoder's 50 frames a second. most_prompt, most: frames of a prompt, and of a prompt and a chunk together.
    output_rate, frame_samples: of the vocoder. steps: of the solver, if a request does not say.
    """

    rate: int
    window: int
    hop: int
    stretch: float
    most_prompt: int
    most: int
    output_rate: int
    frame_samples: int
    steps: int

    @property
    def samples_per_code(self) -> int:
        return self.output_rate // CODES_PER_SECOND

    @property
    def control(self) -> Control:
        about = "steps of the decoder's solver: more are slower and closer to its exact solution"
        return Control("sample_steps", "integer", self.steps, about, STEPS[0], STEPS[-1], choices=STEPS)

    def prompt_frames(self, mel: int, features: int) -> int:
        """Frames of the prompt, of a mel and features of these lengths."""
        return min(mel, features, self.most_prompt)

    def frames(self, codes: int, speed: float = 1.0) -> int:
        """Of the features of `codes` codes."""
        return int(encoder_frames(codes, speed) * self.stretch)

    def unmasked(self, codes: int, speed: float = 1.0) -> int:
        """Frames that the features' last network sees; at some speeds one less than `frames`, as published."""
        whole = codes * self._per_code
        return int(whole) if speed == 1 else int(whole / speed) + 1

    @property
    def _per_code(self) -> float:
        return 4.0 if self.stretch == 2 else 3.875


def encoder_frames(codes: int, speed: float = 1.0) -> int:
    """Of the encoder's output."""
    return 2 * codes if speed == 1 else int(2 * codes / speed) + 1


LAYOUTS = {
    "v3": Layout(24000, 1024, 256, 1.875, 468, 934, 24000, 256, 32),
    "v4": Layout(32000, 1280, 320, 2.0, 500, 1000, 48000, 480, 8),
}
