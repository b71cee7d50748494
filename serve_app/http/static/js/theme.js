// The appearance: the system's by default, or light or dark. css: color-scheme and light-dark().

import { find, icon } from "./dom.js";
import { t, whenTranslated } from "./i18n.js";
import { recall, remember } from "./storage.js";

const ORDER = ["auto", "light", "dark"];
const listeners = [];

export const whenThemed = (listener) => listeners.push(listener);

export function startTheme() {
  const button = find("theme");
  let chosen = recall("theme") ?? "auto";

  function show() {
    if (chosen === "auto") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = chosen;
    button.replaceChildren(icon(chosen));
    button.ariaLabel = t("theme", { now: t(`theme.${chosen}`) });
    button.title = button.ariaLabel;
    for (const listener of listeners) listener();
  }

  button.addEventListener("click", () => {
    chosen = ORDER[(ORDER.indexOf(chosen) + 1) % ORDER.length];
    remember("theme", chosen === "auto" ? null : chosen);
    show();
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", show);
  whenTranslated(show);
}
