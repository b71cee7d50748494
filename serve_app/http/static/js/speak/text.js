// The text to speak: typed, or from a file.

import { find } from "../dom.js";
import { t, whenTranslated } from "../i18n.js";
import { service, whenKnown } from "../service.js";
import { recall, remember } from "../storage.js";

const KEPT = 20_000; // characters of a draft that are remembered

export class Text {
  /** onchange: called when the text changes. onbook: called with an EPUB that was opened here. */
  constructor(onchange, onbook) {
    this.area = find("input");
    this.area.value = recall("draft") ?? "";
    this.onchange = onchange;
    const picker = find("text-file");
    find("open-text").addEventListener("click", () => picker.click());
    picker.addEventListener("change", async () => {
      const [file] = picker.files;
      picker.value = "";
      if (!file) return;
      if (/\.epub$/i.test(file.name)) return onbook(file);
      this.value = await decoded(file);
    });
    this.area.addEventListener("input", () => this.#changed());
    whenKnown(() => this.#changed());
    whenTranslated(() => this.#changed());
  }

  get value() {
    return this.area.value;
  }

  set value(text) {
    this.area.value = text;
    this.#changed();
    this.area.focus();
  }

  /** Characters as the service counts them: code points. */
  get length() {
    return [...this.value].length;
  }

  /** True if the service turns it into a job. */
  get long() {
    return this.length > this.#most;
  }

  get #most() {
    return service.limits.long_text_chars ?? Infinity;
  }

  #changed() {
    const { length } = this;
    remember("draft", length <= KEPT ? this.value : null);
    find("count").textContent = length ? t("speak.count", { n: length }) : "";
    const note = find("long-note");
    note.hidden = !this.long;
    if (this.long) note.textContent = t("speak.long", { n: length, most: this.#most });
    find("speak-label").textContent = t(this.long ? "speak.job" : "speak.now");
    this.onchange();
  }
}

/** The text of a file in UTF-8, UTF-16 with its mark, or else in GB 18030. */
async function decoded(file) {
  const data = new Uint8Array(await file.arrayBuffer());
  const mark = { "255,254": "utf-16le", "254,255": "utf-16be" }[data.subarray(0, 2).join()];
  if (mark) return new TextDecoder(mark).decode(data);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(data);
  } catch {
    return new TextDecoder("gb18030").decode(data);
  }
}
