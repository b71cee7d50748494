// The panel of settings: model, language, speed, seed and sampling.

import { find, keepFields, make } from "../dom.js";
import { number } from "../format.js";
import { locale, t, whenTranslated } from "../i18n.js";
import { languageName, service, whenKnown } from "../service.js";
import { chosenControls, renderControls, resetControls } from "./controls.js";

export function startSettings(onchange) {
  const [model, language, speed, controls] = ["model", "spoken-language", "speed", "controls"].map(find);

  function renderModels() {
    const before = model.value;
    model.replaceChildren(...service.models.map(({ id, state, reason }) => {
      const label = state === "ready" ? id : `${id} (${t(`model.${state}`)})`;
      return make("option", { value: id, disabled: state !== "ready", title: reason ?? "" }, label);
    }));
    const ready = service.models.find(({ state }) => state === "ready");
    model.value = service.models.some(({ id }) => id === before) ? before : (ready?.id ?? "");
    if (model.value === before) keepFields(controls, renderModel);
    else renderModel();
  }

  function renderModel() {
    const found = service.models.find(({ id }) => id === model.value);
    const before = language.value;
    const languages = (found?.languages ?? []).map((code) => make("option", { value: code }, languageName(code, locale())));
    language.replaceChildren(make("option", { value: "" }, t("settings.detect")), ...languages);
    language.value = found?.languages?.includes(before) ? before : "";
    renderControls(controls, found?.controls ?? {}, onchange);
    find("sampling").hidden = !controls.childElementCount;
    onchange();
  }

  function showSpeed() {
    find("speed-value").textContent = `${number(Number(speed.value), 2)} ×`;
    onchange();
  }

  model.addEventListener("change", renderModel);
  language.addEventListener("change", onchange);
  speed.addEventListener("input", showSpeed);
  find("seed").addEventListener("input", onchange);
  find("reset-controls").addEventListener("click", () => {
    resetControls(controls);
    onchange();
  });
  whenKnown(renderModels);
  whenTranslated(() => {
    renderModels();
    showSpeed();
  });
}

/** The fields of a request that the panel sets. What equals the service's default is left out. */
export function chosenSettings() {
  const chosen = { model: find("model").value || "tts-1" };
  const language = find("spoken-language").value;
  if (language) chosen.language = language;
  const speed = Number(find("speed").value);
  if (speed !== 1) chosen.speed = speed;
  const seed = find("seed").value.trim();
  if (seed) chosen.seed = seed;
  return { ...chosen, ...chosenControls(find("controls")) };
}
