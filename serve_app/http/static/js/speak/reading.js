// What will be said: the segments of the text as the model gets them, before they are spoken.

import { ApiError, send } from "../api.js";
import { debounced, find, make } from "../dom.js";
import { messageOf } from "../errors.js";
import { number } from "../format.js";
import { t, whenTranslated } from "../i18n.js";
import { service } from "../service.js";

const WAIT_MS = 400; // after the last change of the text

export class Reading {
  #asked = 0; // requests so far: only the last one is shown
  #found = null; // {segments, short} of the last one

  /** fields: returns the request's {input, model, language}. */
  constructor(fields) {
    this.fields = fields;
    this.panel = find("reading");
    this.note = find("reading-note");
    this.list = find("reading-list");
    this.changed = debounced(() => this.#read(), WAIT_MS);
    this.panel.addEventListener("toggle", () => this.#read());
    whenTranslated(() => this.#show());
  }

  /** Call after each change of the text or the settings. */
  refresh() {
    if (this.panel.open) this.changed();
  }

  async #read() {
    if (!this.panel.open) return;
    const asked = ++this.#asked;
    const { input, ...rest } = this.fields();
    const most = service.limits.long_text_chars ?? Infinity;
    const letters = [...input];
    const body = { ...rest, input: letters.length > most ? letters.slice(0, most).join("") : input };
    let found = { segments: [], empty: !input.trim() };
    if (!found.empty) {
      try {
        this.list.ariaBusy = "true";
        const { data } = await send("v1/audio/read", JSON.stringify(body));
        found = { segments: data, short: letters.length > most ? most : 0 };
      } catch (error) {
        if (!(error instanceof ApiError)) throw error;
        found = { segments: [], error };
      }
    }
    if (asked !== this.#asked) return;
    this.list.ariaBusy = "false";
    this.#found = found;
    this.#show();
  }

  #show() {
    if (!this.#found) return;
    const { segments, error, empty, short } = this.#found;
    this.note.classList.toggle("error", Boolean(error));
    this.note.textContent = error ? messageOf(error) : this.#about(segments, empty, short);
    this.list.replaceChildren(...segments.map(row));
  }

  #about(segments, empty, short) {
    if (empty) return t("reading.empty");
    if (!segments.length) return t("reading.nothing");
    const count = t("reading.count", { n: segments.length });
    return short ? `${count} ${t("reading.short", { n: short })}` : count;
  }
}

function row({ text, spoken, phones, pause_after: pause }) {
  return make("li", {},
    make("p", { class: "muted" }, text),
    make("p", {}, spoken || t("reading.silence")),
    phones ? make("p", { class: "phones", lang: "und" }, phones) : null,
    pause ? make("p", { class: "muted" }, t("reading.pause", { seconds: number(pause, 2) })) : null);
}
