// The form that says one sentence again, with another seed, text or voice.

import { make } from "../dom.js";
import { clearErrors, showError } from "../errors.js";
import { t } from "../i18n.js";
import { toJson } from "../speak/request.js";

const SEEDS = 2 ** 31;

export class SegmentForm {
  /** onsend: sends the JSON of the changes, and may raise ApiError. onclose: the user gave up. */
  constructor(segment, voices, { onsend, onclose }) {
    this.segment = segment;
    const name = (field) => `again-${segment.index}-${field}`;
    this.text = make("textarea", { id: name("text"), rows: 2, value: segment.text });
    this.voice = make("select", { id: name("voice") },
      make("option", { value: "" }, t("segments.same_voice", { voice: segment.voice })),
      voices.map(({ id, name: title }) => make("option", { value: id }, title)));
    this.seed = make("input", { type: "text", inputMode: "numeric", id: name("seed"), autocomplete: "off", placeholder: t("settings.random") });
    const general = make("p", { class: "error banner-error", role: "alert", hidden: true });
    this.submit = make("button", { type: "submit", class: "primary" }, t("segments.again"));
    this.element = make("form", { class: "again", noValidate: true }, general,
      field("text", "segments.text", this.text),
      make("div", { class: "pair" }, field("voice", "book.field.voice", this.voice), field("seed", "book.field.seed", this.seed)),
      make("div", { class: "row end" }, make("button", { type: "button", on: { click: onclose } }, t("dialog.close")), this.submit));
    this.element.addEventListener("keydown", (event) => {
      if (event.key === "Escape") onclose();
    });
    this.element.addEventListener("submit", async (event) => {
      event.preventDefault();
      clearErrors(this.element, general);
      this.submit.disabled = true;
      try {
        await onsend(toJson(this.#changes()));
      } catch (error) {
        this.submit.disabled = false;
        showError(this.element, general, error);
      }
    });
  }

  focus() {
    this.text.focus();
  }

  /** What differs from the sentence as it is; if nothing does, another seed. */
  #changes() {
    const changes = {};
    if (this.text.value.trim() !== this.segment.text) changes.text = this.text.value.trim();
    if (this.voice.value) changes.voice = this.voice.value;
    const seed = this.seed.value.trim();
    if (seed) changes.seed = seed;
    else if (!Object.keys(changes).length) changes.seed = String(Math.floor(Math.random() * SEEDS));
    return changes;
  }
}

function field(name, key, input) {
  return make("div", { class: "field", dataset: { field: name } }, make("label", { for: input.id }, t(key)), input,
    make("p", { class: "error", role: "alert", hidden: true }));
}
