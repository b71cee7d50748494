// The dialog that adds a voice to the library.

import { send } from "../api.js";
import { announce, find, icon, make } from "../dom.js";
import { clearErrors, showError } from "../errors.js";
import { t, warningText } from "../i18n.js";
import { refreshVoices } from "../service.js";
import { Reference } from "./reference.js";

let open = () => {};

/** Opens the dialog. onadded: called with the new voice's id. */
export const addVoice = (onadded) => open(onadded);

export function startVoiceDialog() {
  const dialog = find("voice-dialog");
  let added = () => {};
  let reference = null;

  open = (onadded) => {
    added = onadded;
    render();
    dialog.showModal();
  };
  dialog.addEventListener("close", () => reference?.stop());

  function render() {
    const general = make("p", { class: "error banner-error", role: "alert", hidden: true });
    const sample = make("div", {});
    const submit = make("button", { type: "submit", class: "primary" }, t("dialog.add"));
    const form = make(
      "form",
      { noValidate: true, "aria-busy": "false" },
      make("div", { class: "row" }, make("h2", { id: "voice-dialog-title", class: "grow" }, t("dialog.title")),
        make("button", { type: "button", class: "quiet round", "aria-label": t("dialog.close"), on: { click: () => dialog.close() } }, icon("close"))),
      general,
      field("name", make("input", { type: "text", id: "voice-name", autocomplete: "off", maxLength: 64 })),
      make("div", { class: "field", dataset: { field: "audio_sample" } }, make("span", { class: "label" }, t("dialog.audio_sample")), sample, error()),
      field("transcript", make("textarea", { id: "voice-transcript", rows: 2 })),
      make("div", { class: "pair" },
        field("language", make("input", { type: "text", id: "voice-language", placeholder: "en", autocomplete: "off" })),
        field("description", make("input", { type: "text", id: "voice-description", autocomplete: "off" }))),
      field("consent", make("input", { type: "text", id: "voice-consent", autocomplete: "off" })),
      make("div", { class: "row end" },
        make("button", { type: "button", on: { click: () => dialog.close() } }, t("dialog.close")), submit),
    );
    reference = new Reference(sample);
    form.addEventListener("submit", async (event) => {
      event.preventDefault();
      clearErrors(form, general);
      submit.disabled = true;
      form.ariaBusy = "true";
      try {
        const voice = await send("v1/audio/voices", body(form, reference.file));
        await refreshVoices();
        added(voice.id);
        finished(voice);
      } catch (error) {
        showError(form, general, error);
      } finally {
        submit.disabled = false;
        form.ariaBusy = "false";
      }
    });
    dialog.replaceChildren(form);
  }

  function finished(voice) {
    announce(t("dialog.added", { name: voice.name }));
    if (!voice.warnings.length) return dialog.close();
    const close = make("button", { type: "button", class: "primary", on: { click: () => dialog.close() } }, t("dialog.fine"));
    dialog.replaceChildren(
      make("h2", { id: "voice-dialog-title" }, t("dialog.added", { name: voice.name })),
      make("p", {}, t("dialog.warnings")),
      make("ul", { class: "warnings" }, voice.warnings.map((warning) => make("li", {}, warningText(warning)))),
      make("div", { class: "row end" }, close),
    );
    close.focus();
    return undefined;
  }
}

function body(form, file) {
  const data = new FormData();
  for (const input of form.querySelectorAll("[data-field] > input, [data-field] > textarea")) {
    const name = input.parentElement.dataset.field;
    if (input.value.trim()) data.append(name, input.value.trim());
  }
  if (file) data.append("audio_sample", file);
  return data;
}

const error = () => make("p", { class: "error", role: "alert", hidden: true });

function field(name, input) {
  const label = make("label", { for: input.id }, t(`dialog.${name}`));
  return make("div", { class: "field", dataset: { field: name } }, label, input, error());
}
