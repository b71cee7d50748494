"""The controls of the frontend: where a text is cut, and the silence between its pieces. Needs no torch."""

from deployments.contract.controls import Control
from deployments.families.gpt_sovits.text.cut import METHODS

CUT, PAUSE = TEXT_CONTROLS = "text_split_method", "fragment_interval"

_CUT = (
    "where the text is cut: 0 nowhere, 1 after every four pieces between marks, 2 after about 50 characters, "
    "3 at Chinese full stops, 4 at English full stops, 5 at every mark"
)
CONTROLS = (
    Control(CUT, "integer", 5, _CUT, 0, len(METHODS) - 1),
    Control(PAUSE, "number", 0.3, "seconds of silence after each piece of the text", 0, 10),
)
