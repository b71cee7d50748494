"""Write tests/data/small_codes.json, real speech for the vocoder's tests: python -m training.spoken

It holds the first eight test sentences, two in each of four shipped voices, as units (codes with their phones) from the
shipped GPT.
"""

from __future__ import annotations

import json
from pathlib import Path

from deployments.contract.speech import GptRequest
from serve_app.cli.speaker import Speaker

SENTENCES = Path("tests/data/sentences.txt")
OUT = Path("tests/data/small_codes.json")
VOICES = ("angus", "clara", "kai", "ross")
EACH = 2  # sentences per voice
SEED = 7  # of the first voice; each next voice has the next seed


async def units_of(speaker: Speaker, text: str, voice: str, seed: int) -> list[int]:
    (segment,) = await speaker.backend.segments(text, None)
    sampling = speaker.backend.spec.sampling(seed=seed)
    request = GptRequest(segment, await speaker.prompt_of(voice), sampling)
    runs = speaker.backend.generate(request, id=text, priority=0, admitted=True)
    return [int(unit) async for run in runs for unit in run.spoken]


def main() -> None:
    said = []
    with Speaker() as speaker:
        for index, text in enumerate(SENTENCES.read_text("utf-8").splitlines()[: EACH * len(VOICES)]):
            voice, seed = VOICES[index // EACH], SEED + index // EACH
            units = speaker.run(units_of(speaker, text, voice, seed))
            said.append({"voice": voice, "text": text, "units": units})
    OUT.write_text("[\n " + ",\n ".join(json.dumps(one) for one in said) + "\n]\n", "utf-8")


if __name__ == "__main__":
    main()
