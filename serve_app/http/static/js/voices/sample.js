// Speaks a short sentence as a sample of a voice.

import { Speech } from "../audio/speech.js";
import { service } from "../service.js";

const SENTENCES = {
  en: "The lamps along the harbour come on, one after the other, and the boats turn home.",
  zh: "港口的灯一盏一盏地亮了，船也慢慢地回来了。",
};
const SEED = 1;
let playing = null; // {voice, speech, onend}

/** Plays the voice, or stops it if it is the one that plays. onend(error) is called at the end. */
export function toggleSample(voice, model, onend) {
  const before = playing;
  stopSample();
  if (before?.voice === voice.id) return false;
  const language = voice.language in SENTENCES ? voice.language : "en";
  const body = { model, input: SENTENCES[language], voice: voice.id, seed: SEED, response_format: "pcm" };
  const speech = new Speech(JSON.stringify({ ...body, stream_format: "audio" }), () => {
    if (speech.error || speech.player.ended) stopSample();
  });
  playing = { voice: voice.id, speech, onend };
  return true;
}

export function stopSample() {
  if (!playing) return;
  const { speech, onend } = playing;
  playing = null;
  speech.close();
  onend(speech.error);
}

export const modelForSamples = () => service.models.find((model) => model.state === "ready")?.id;
