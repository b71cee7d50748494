// The list of voices: the user chooses one, plays samples, and deletes uploaded voices.

import { send } from "../api.js";
import { announce, icon, make } from "../dom.js";
import { messageOf } from "../errors.js";
import { locale, t, whenTranslated } from "../i18n.js";
import { languageName, refreshVoices, service, whenKnown } from "../service.js";
import { recall, remember } from "../storage.js";
import { modelForSamples, toggleSample } from "./sample.js";

export class VoicePicker {
  /** list: the element that holds the voices. search: its field. onerror: called with an ApiError. */
  constructor(list, search, { model, onchange, onerror }) {
    Object.assign(this, { list, search, model, onchange, onerror });
    this.chosen = recall("voice");
    search.addEventListener("input", () => this.#filter());
    whenKnown(() => this.#render());
    whenTranslated(() => this.#render());
  }

  get value() {
    return this.chosen;
  }

  choose(id) {
    this.chosen = id;
    remember("voice", id);
    for (const input of this.list.querySelectorAll("input")) input.checked = input.value === id;
    this.onchange();
  }

  #render() {
    if (!service.voices.length) return;
    if (!service.voices.some((voice) => voice.id === this.chosen)) this.chosen = service.voices[0].id;
    this.list.replaceChildren(...service.voices.map((voice) => this.#row(voice)));
    this.#filter();
    this.onchange();
  }

  #row(voice) {
    const language = voice.language ? languageName(voice.language, locale()) : "";
    const about = [voice.description, language, voice.shipped ? "" : t("voice.own")].filter(Boolean).join(" · ");
    const radio = make("input", { type: "radio", name: "voice", value: voice.id, checked: voice.id === this.chosen });
    radio.addEventListener("change", () => this.choose(voice.id));
    const avatar = make("span", { class: "avatar", "aria-hidden": "true" }, voice.name[0].toUpperCase());
    const words = make("span", { class: "grow" }, make("b", {}, voice.name), make("small", { lang: voice.language }, about));
    const row = make("li", { dataset: { words: `${voice.name} ${about}`.toLowerCase() } });
    row.append(make("label", { class: "voice" }, radio, avatar, words), this.#sampleButton(voice));
    if (!voice.shipped) row.append(this.#deleteButton(voice));
    return row;
  }

  #sampleButton(voice) {
    const button = make("button", { type: "button", class: "quiet round", title: t("voice.hear", { name: voice.name }) });
    const show = (playing) => {
      button.replaceChildren(icon(playing ? "stop" : "play"));
      button.ariaLabel = t(playing ? "voice.stop" : "voice.hear", { name: voice.name });
    };
    show(false);
    button.addEventListener("click", () => {
      const started = toggleSample(voice, this.model() ?? modelForSamples(), (error) => {
        show(false);
        if (error) this.onerror(error);
      });
      show(started);
    });
    return button;
  }

  #deleteButton(voice) {
    const name = t("voice.delete", { name: voice.name });
    const button = make("button", { type: "button", class: "quiet round", "aria-label": name, title: name }, icon("trash"));
    button.addEventListener("click", async () => {
      if (!confirm(t("voice.delete_sure", { name: voice.name }))) return;
      try {
        await send(`v1/audio/voices/${encodeURIComponent(voice.id)}`, undefined, "DELETE");
        await refreshVoices();
        announce(t("voice.deleted", { name: voice.name }));
        this.search.focus();
      } catch (error) {
        announce(messageOf(error));
        this.onerror(error);
      }
    });
    return button;
  }

  #filter() {
    const words = this.search.value.trim().toLowerCase().split(/\s+/);
    for (const row of this.list.children) row.hidden = !words.every((word) => row.dataset.words.includes(word));
  }
}
