// What the page knows about the service: its models, voices and limits.

import { get } from "./api.js";

export const service = {
  models: [], // of GET /v1/models, without OpenAI's names
  voices: [], // of GET /v1/audio/voices
  limits: {}, // of GET /v1/status
};
const listeners = [];

/** Calls `listener` after each change of `service`. */
export const whenKnown = (listener) => listeners.push(listener);

export async function refresh() {
  const [models, voices, status] = await Promise.all([get("v1/models"), get("v1/audio/voices"), get("v1/status")]);
  service.models = models.data.filter((model) => !model.alias_of).sort((a, b) => b.default - a.default);
  service.voices = voices.data;
  service.limits = status.limits;
  for (const listener of listeners) listener();
}

export async function refreshVoices() {
  service.voices = (await get("v1/audio/voices")).data;
  for (const listener of listeners) listener();
}

/** Names of languages come from the browser: "en" is "English", or "英语". */
export function languageName(code, locale) {
  try {
    return new Intl.DisplayNames([locale], { type: "language" }).of(code);
  } catch {
    return code; // not a code that Intl knows
  }
}
