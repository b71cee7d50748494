// The options of a book's job. Every field's name is the service's.

import { make } from "../dom.js";
import { locale, t } from "../i18n.js";
import { languageName, service } from "../service.js";
import { chosenControls, renderControls } from "../speak/controls.js";
import { recall } from "../storage.js";

const FORMATS = ["m4b", "mp3", "opus", "flac", "wav"];

/** The sections of the form: {details, output, more}. plan: the answer to dry_run; file: the book. */
export function renderOptions(plan, file) {
  const model = service.models.find(({ state }) => state === "ready");
  const voices = service.voices.map(({ id, name, description }) => [id, description ? `${name} – ${description}` : name]);
  const models = service.models.map(({ id }) => [id, id]);
  const languages = (model?.languages ?? []).map((code) => [code, languageName(code, locale())]);
  const controls = make("div", { id: "book-controls" });
  renderControls(controls, model?.controls ?? {}, () => {});
  const known = languages.find(([code]) => plan.language?.startsWith(code))?.[0] ?? "";
  const details = section("book.details",
    text("title", plan.title ?? ""), text("author", (plan.authors ?? []).join(", ")),
    select("voice", voices, recall("voice")), text("narrator", ""),
    select("language", [["", t("settings.detect")], ...languages], known),
    models.length > 1 ? select("model", models, model?.id) : null);
  const output = section("book.output",
    select("format", FORMATS.map((name) => [name, name.toUpperCase()]), FORMATS[0]),
    tick("per_chapter", false), tick("subtitles", true),
    /\.epub$/i.test(file.name) ? tick("read_along", false) : null);
  const more = make("details", { class: "card", id: "book-more" }, make("summary", {}, t("book.more")),
    pair(text("paragraph_pause", "0.6", "decimal"), text("chapter_pause", "2", "decimal")),
    pair(text("loudness", "-18"), text("speed", "1", "decimal")),
    pair(text("seed", "", "numeric"), text("bucket_size", "6", "numeric")),
    select("mode", [["batched", t("book.mode.batched")], ["sentence", t("book.mode.sentence")]], "batched"),
    lines("voices", "book.voices_hint"), lines("pronunciations", "book.pronunciations_hint"),
    controls);
  more.querySelector("#book-seed").placeholder = t("settings.random");
  return { details, output, more };
}

/** [name, value] of every field that differs from its default, as the form's parts. */
export function optionFields(form) {
  const found = [["model", form.querySelector("#book-model")?.value ?? service.models[0]?.id ?? "tts-1"]];
  for (const input of form.querySelectorAll("[data-option]")) {
    const name = input.dataset.option;
    if (name === "model") continue;
    if (input.type === "checkbox") {
      if (input.checked !== input.defaultChecked) found.push([name, String(input.checked)]);
    } else if (input.dataset.lines) {
      if (input.value.trim()) found.push([name, JSON.stringify(pairs(input.value))]);
    } else if (input.tagName === "SELECT") {
      if (input.value) found.push([name, input.value]);
    } else if (input.value.trim() !== input.defaultValue || ["title", "author"].includes(name)) {
      if (input.value.trim()) found.push([name, input.value.trim()]);
    }
  }
  for (const [name, value] of Object.entries(chosenControls(form))) found.push([name, String(value)]);
  return found;
}

/** {"Alice": "clara"} of lines such as "Alice = clara". */
function pairs(written) {
  const lines = written.split("\n").filter((line) => line.trim());
  return Object.fromEntries(lines.map((line) => {
    const [key, ...rest] = line.split("=");
    return [key.trim(), rest.join("=").trim()];
  }));
}

const error = () => make("p", { class: "error", role: "alert", hidden: true });
const pair = (...fields) => make("div", { class: "pair" }, fields);
const section = (key, ...fields) => make("section", { class: "card" }, make("h2", {}, t(key)), fields);
const label = (name) => make("label", { for: `book-${name}` }, t(`book.field.${name}`));

function field(name, input, hint) {
  input.id = `book-${name}`;
  input.dataset.option = name;
  return make("div", { class: "field", dataset: { field: name } }, label(name), input, hint && make("p", { class: "muted" }, t(hint)), error());
}

const text = (name, value, inputMode = "text") => field(name, make("input", { type: "text", inputMode, defaultValue: value, autocomplete: "off" }));

function select(name, choices, chosen) {
  const made = make("select", {}, choices.map(([value, words]) => make("option", { value }, words)));
  if (choices.some(([value]) => value === chosen)) made.value = chosen;
  return field(name, made);
}

function lines(name, hint) {
  return field(name, make("textarea", { rows: 2, dataset: { lines: "true" } }), hint);
}

function tick(name, checked) {
  const box = make("input", { type: "checkbox", id: `book-${name}`, defaultChecked: checked, dataset: { option: name } });
  return make("div", { class: "field", dataset: { field: name } }, make("label", { class: "check" }, box, t(`book.field.${name}`)), error());
}
