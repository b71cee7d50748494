// Numbers, sizes and times in the page's language.

import { locale, t } from "./i18n.js";

export const number = (value, digits = 0) => value.toLocaleString(locale(), { maximumFractionDigits: digits });

export const percent = (share) => share.toLocaleString(locale(), { style: "percent", maximumFractionDigits: 0 });

export function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let power = 0;
  while (value >= 1024 && power < units.length - 1) {
    value /= 1024;
    power += 1;
  }
  return `${number(value, value < 10 && power > 0 ? 1 : 0)} ${units[power]}`;
}

/** Seconds as 1:02:03. */
export function clock(seconds) {
  const whole = Math.floor(seconds);
  const pad = (value) => String(value).padStart(2, "0");
  const minutes = Math.floor(whole / 60) % 60;
  const hours = Math.floor(whole / 3600);
  return hours ? `${hours}:${pad(minutes)}:${pad(whole % 60)}` : `${minutes}:${pad(whole % 60)}`;
}

/** Seconds in words: below a minute in seconds, below an hour in minutes, else in hours. */
export function duration(seconds) {
  if (seconds < 60) return t("unit.seconds", { value: number(seconds, seconds < 10 ? 1 : 0) });
  if (seconds < 3600) return t("unit.minutes", { value: number(seconds / 60, 1) });
  return t("unit.hours", { value: number(seconds / 3600, 1) });
}

/** Seconds since 1970 as a date and a time. */
export const moment = (at) => new Date(at * 1000).toLocaleString(locale(), { dateStyle: "medium", timeStyle: "short" });

export const timeOfDay = (at) => new Date(at * 1000).toLocaleTimeString(locale());
