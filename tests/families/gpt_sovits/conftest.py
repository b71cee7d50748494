"""The golden sets: random checkpoints in the published layout, and the published code's results for them."""

from __future__ import annotations

from tests.golden.archive import golden_set

golden = golden_set("gpt_sovits")
golden_v1 = golden_set("gpt_sovits_v1")
golden_v3v4 = golden_set("gpt_sovits_v3v4")
