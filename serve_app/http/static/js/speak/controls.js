// The sampling parameters that a model declares, as fields with their ranges and defaults.

import { make } from "../dom.js";
import { number } from "../format.js";
import { t } from "../i18n.js";

const MOST_STEPS = 200; // a range with more of them gets no slider
const STEP = 0.05; // of a number

/** Fills `place` with the fields of `controls`, the JSON schemas by name. onchange: called when a value changes. */
export function renderControls(place, controls, onchange) {
  const fields = Object.entries(controls).map(([name, schema]) => field(`${place.id}-${name}`, name, schema, onchange));
  place.replaceChildren(...fields);
}

/** {name: value} of the fields that differ from their defaults. Anything else stays text: the service rejects it. */
export function chosenControls(place) {
  const chosen = {};
  for (const input of place.querySelectorAll("[data-control]")) {
    if (input.type === "checkbox") {
      if (input.checked !== input.defaultChecked) chosen[input.dataset.control] = input.checked;
    } else if (input.value.trim() !== input.defaultValue) {
      const value = Number(input.value);
      chosen[input.dataset.control] = input.value.trim() === "" || Number.isNaN(value) ? input.value : value;
    }
  }
  return chosen;
}

export function resetControls(place) {
  for (const input of place.querySelectorAll("input")) {
    input.value = input.defaultValue;
    input.checked = input.defaultChecked;
  }
}

function field(id, name, schema, onchange) {
  const title = t(`control.${name}`, {}, name.replaceAll("_", " "));
  const about = t(`control.${name}.about`, {}, schema.description);
  const error = make("p", { class: "error", role: "alert", hidden: true });
  if (schema.type === "boolean") {
    const box = make("input", { type: "checkbox", id, defaultChecked: schema.default, dataset: { control: name }, on: { change: onchange } });
    const label = make("label", { class: "check", for: id }, box, title);
    return make("div", { class: "field", dataset: { field: name } }, label, make("p", { class: "muted" }, about), error);
  }
  const low = schema.minimum ?? schema.exclusiveMinimum;
  const step = schema.type === "integer" ? 1 : STEP;
  const value = make("input", { type: "text", inputMode: "decimal", id, class: "figures", dataset: { control: name } });
  value.defaultValue = String(schema.default);
  const parts = [value];
  if ((schema.maximum - low) / step <= MOST_STEPS) {
    const least = schema.minimum === undefined ? low + step : low;
    const slider = make("input", { type: "range", min: least, max: schema.maximum, step, tabIndex: -1, "aria-hidden": "true" });
    slider.defaultValue = String(schema.default);
    slider.addEventListener("input", () => {
      value.value = slider.value;
      onchange();
    });
    value.addEventListener("input", () => (slider.value = value.value));
    parts.unshift(slider);
  }
  value.addEventListener("input", onchange);
  const bounds = { low: number(low, 3), high: number(schema.maximum, 3), value: number(schema.default, 3) };
  const range = t(schema.minimum === undefined ? "control.range_above" : "control.range", bounds);
  return make("div", { class: "field", dataset: { field: name } },
    make("label", { for: id }, title), make("div", { class: "row" }, parts), make("p", { class: "muted" }, t("control.hint", { about, range })), error);
}
