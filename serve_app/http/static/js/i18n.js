// The page's languages. Elements with data-i18n, data-i18n-label and data-i18n-placeholder are filled from the messages.

import { en } from "./messages/en.js";
import { zh } from "./messages/zh.js";
import { recall, remember } from "./storage.js";

const MESSAGES = { en, zh };
const listeners = [];
let language = recall("language") ?? (navigator.language.toLowerCase().startsWith("zh") ? "zh" : "en");
if (!(language in MESSAGES)) language = "en";

/**
 * The message of a key. A message with forms ({one, other}) is chosen by `values.n`; {name} in it is replaced by the
 * value of that name. Returns `fallback` for an unknown key.
 */
export function t(key, values = {}, fallback = key) {
  let message = MESSAGES[language][key];
  if (message === undefined) return fallback;
  if (typeof message === "object") message = message[new Intl.PluralRules(language).select(values.n)] ?? message.other;
  return message.replace(/\{(\w+)\}/g, (_, name) => {
    const value = values[name];
    return typeof value === "number" ? value.toLocaleString(locale()) : String(value);
  });
}

/** A problem of a recording. told: the service's key, or the key, a colon and the service's own words. */
export function warningText(told) {
  const [key, words] = told.split(": ", 2);
  return t(`warning.${key}`, {}, words ?? key);
}

/** For numbers, dates and names: the user's own kind of the language. */
export const locale = () => navigator.languages.find((known) => known.startsWith(language)) ?? language;
export const current = () => language;

/** Calls `listener` now and after each change of the language. */
export function whenTranslated(listener) {
  listeners.push(listener);
  listener();
}

export function setLanguage(wanted) {
  language = wanted;
  remember("language", wanted);
  document.documentElement.lang = { en: "en", zh: "zh-Hans" }[language];
  translate(document);
  for (const listener of listeners) listener();
}

function translate(root) {
  for (const found of root.querySelectorAll("[data-i18n]")) found.textContent = t(found.dataset.i18n);
  for (const found of root.querySelectorAll("[data-i18n-label]")) found.ariaLabel = t(found.dataset.i18nLabel);
  for (const found of root.querySelectorAll("[data-i18n-placeholder]")) {
    found.placeholder = t(found.dataset.i18nPlaceholder);
  }
}
