"""Which parts of a voice prompt a request uses: the four published modes.

continuation   reference   mode
yes            no          the text continues the recording, whose transcript is read before it
no             yes         the recording stands before the text (second release)
yes            yes         both (second release)
no             no          no voice: the model invents one
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from deployments.contract.controls import Control, Controls, Value
from deployments.contract.errors import InvalidInput
from deployments.contract.speech import VoicePrompt

CONTINUATION, REFERENCE = "continuation", "reference"
PROMPT, TRANSCRIPT = "prompt", "transcript"  # arrays of a voice prompt, beside "reference"


class Mode(NamedTuple):
    """transcript, prompt: of the recording to continue, None if none is; reference: patches before the text, or None.

    prompt, reference: float32 (T, P, D).
    """

    transcript: str | None
    prompt: np.ndarray | None
    reference: np.ndarray | None

    @classmethod
    def of(cls, prompt: VoicePrompt, controls: Mapping[str, Value]) -> "Mode":
        """Raises InvalidInput if the only part that the request asks for is one that the voice does not have."""
        tensors = prompt.tensors
        continued = bool(controls.get(CONTINUATION, True))
        reference = tensors.get(REFERENCE) if controls.get(REFERENCE, True) else None
        if continued and TRANSCRIPT in tensors:
            return cls(bytes(tensors[TRANSCRIPT]).decode("utf-8"), tensors[PROMPT], reference)
        if continued and reference is None:
            raise InvalidInput(
                "this voice has no transcript, so it cannot be continued: give one, or set continuation to false",
                param=CONTINUATION,
            )
        return cls(None, None, reference)


def controls(version: int) -> Controls:
    """The controls that choose a mode."""
    found = [
        Control(
            CONTINUATION,
            "boolean",
            True,
            "continue the recording, if its transcript is known; else it is not read",
        )
    ]
    if version == 2:
        about = "put the recording before the text, as a reference (only with VoxCPM 2)"
        found.append(Control(REFERENCE, "boolean", True, about))
    return tuple(found)
