// A recording to clone a voice from: by the microphone, or a file.

import { canRecord, Recorder } from "../audio/recorder.js";
import { announce, icon, make } from "../dom.js";
import { bytes, clock } from "../format.js";
import { t, whenTranslated } from "../i18n.js";

const LONGEST_S = 60; // the service uses no more of a recording

export class Reference {
  file = null;
  #recorder = null;

  /** place: the element to fill. onchange: called when the recording changes. */
  constructor(place, onchange = () => {}) {
    this.onchange = onchange;
    this.record = make("button", { type: "button", on: { click: () => this.#toggle() } });
    this.choose = make("button", { type: "button", on: { click: () => this.picker.click() } });
    this.picker = make("input", { type: "file", accept: "audio/*,video/mp4,video/webm,.m4a,.flac,.ogg,.caf", hidden: true });
    this.picker.addEventListener("change", () => this.use(this.picker.files[0] ?? null));
    this.meter = make("meter", { min: 0, max: 1, high: 0.97, value: 0, hidden: true });
    this.time = make("output", { class: "figures", hidden: true });
    this.trouble = make("p", { class: "error", role: "alert", hidden: true });
    this.audio = make("audio", { controls: true });
    this.name = make("span", { class: "grow clip" });
    this.remove = make("button", { type: "button", class: "quiet round", on: { click: () => this.use(null) } }, icon("close"));
    this.kept = make("div", { class: "kept", hidden: true }, make("div", { class: "row" }, this.name, this.remove), this.audio);
    this.hint = make("p", { class: "muted" });
    const buttons = make("div", { class: "row wrap" }, this.record, this.choose, this.picker, this.time);
    place.append(buttons, this.meter, this.trouble, this.kept, this.hint);
    whenTranslated(() => this.#words());
  }

  use(file) {
    if (this.audio.src) URL.revokeObjectURL(this.audio.src);
    this.file = file;
    this.kept.hidden = !file;
    this.trouble.hidden = true;
    if (file) {
      this.audio.src = URL.createObjectURL(file);
      this.name.textContent = `${file.name} · ${bytes(file.size)}`;
    } else {
      this.audio.removeAttribute("src");
      this.picker.value = "";
    }
    this.onchange();
  }

  /** As base64. Only for a file that is set. */
  async base64() {
    const data = new Uint8Array(await this.file.arrayBuffer());
    let text = "";
    for (let at = 0; at < data.length; at += 0x8000) text += String.fromCharCode(...data.subarray(at, at + 0x8000));
    return btoa(text);
  }

  stop() {
    this.#recorder?.stop();
  }

  async #toggle() {
    if (this.#recorder) return this.stop();
    this.trouble.hidden = true;
    if (!canRecord()) return this.#refuse(t("reference.unavailable"));
    const recorder = new Recorder((level, seconds) => {
      this.meter.value = level;
      this.time.textContent = clock(seconds);
    }, LONGEST_S);
    try {
      await recorder.start();
      this.#recorder = recorder;
      this.#show(true);
      announce(t("reference.recording"));
      const file = await recorder.recorded;
      this.#recorder = null;
      this.#show(false);
      this.use(file);
    } catch (error) {
      if (!(error instanceof DOMException)) throw error;
      this.#refuse(t("reference.refused", { reason: error.message }));
    }
  }

  #refuse(message) {
    this.trouble.textContent = message;
    this.trouble.hidden = false;
  }

  #show(recording) {
    this.meter.hidden = this.time.hidden = !recording;
    this.#words();
  }

  #words() {
    const recording = this.#recorder !== null;
    this.record.replaceChildren(icon(recording ? "stop" : "microphone"), t(recording ? "reference.stop" : "reference.record"));
    this.record.classList.toggle("recording", recording);
    this.choose.replaceChildren(icon("file"), t("reference.choose"));
    this.remove.ariaLabel = t("reference.remove");
    this.meter.ariaLabel = t("reference.level");
    this.audio.ariaLabel = t("reference.listen");
    this.hint.textContent = t("reference.hint");
  }
}
