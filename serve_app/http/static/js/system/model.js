// A model in the view "System": its device and its stages.

import { make } from "../dom.js";
import { bytes, number } from "../format.js";
import { t } from "../i18n.js";

const ORDER = ["text_frontend", "voice_encoder", "gpt", "vocoder"]; // as a request passes them
const STATES = { ready: "done", starting: "queued", failed: "failed" };

export function modelCard(name, { state, reason, device, stages }, isDefault) {
  const title = isDefault ? `${name} (${t("system.default")})` : name;
  const word = state === "ready" ? t("system.ready") : t(`model.${state}`);
  const card = make("section", { class: "card" },
    make("div", { class: "row" }, make("h2", { class: "grow clip" }, title), make("span", { class: "state", dataset: { state: STATES[state] } }, word)));
  if (reason) card.append(make("p", { class: "error" }, reason));
  if (device) card.append(deviceLine(name, device));
  const order = ([name]) => ORDER.indexOf(name);
  const rows = Object.entries(stages).sort((a, b) => order(a) - order(b));
  if (rows.length) card.append(table(name, rows));
  return card;
}

function deviceLine(model, device) {
  const told = [device.name || device.device, device.dtype, device.threads && `${device.threads} ×`].filter(Boolean);
  return make("details", { id: `device-${model}` },
    make("summary", {}, `${t("system.device")}: ${told.slice(0, 2).join(" · ")}`), make("p", { class: "muted" }, device.reason ?? ""));
}

function table(model, rows) {
  const columns = Object.entries(COLUMNS).filter(([, shown]) => rows.some(([, stage]) => shown(stage)));
  const head = ["stage", ...columns.map(([key]) => key)].map((key) => make("th", { scope: "col" }, t(`system.${key}`)));
  const body = rows.map(([name, stage]) => make("tr", {}, make("th", { scope: "row" }, t(`stage.${name}`, {}, name)),
    columns.map(([, shown]) => make("td", { class: "figures" }, shown(stage)))));
  const made = make("table", {}, make("caption", { class: "hidden" }, t("system.stages", { model })),
    make("thead", {}, make("tr", {}, head)), make("tbody", {}, body));
  return make("div", { class: "scroll", tabIndex: 0, role: "region", "aria-label": t("system.stages", { model }) }, made);
}

/** The value of a stage's column, "" if the stage does not report it. */
const COLUMNS = {
  state: ({ ready }) => (ready === undefined ? "" : t(ready ? "system.ready" : "system.not_ready")),
  queue: ({ pending }) => count(pending),
  active: ({ active, slots }) => (slots ? t("figure.of", { part: count(active), whole: count(slots) }) : count(active)),
  replicas: ({ replicas }) => (replicas ? count(Object.keys(replicas).length) : ""),
  memory: (stage) => memory([stage, ...Object.values(stage.replicas ?? {})]),
};

const count = (value) => (value === undefined ? "" : number(value));

/** The memory of all processes of a stage, on the machine and on the device. */
function memory(processes) {
  const told = processes.map((process) => process.memory ?? {});
  const sum = (key) => told.reduce((total, found) => total + (found[key] ?? 0), 0);
  const device = sum("device_reserved_bytes");
  return [sum("rss_bytes"), device].filter(Boolean).map(bytes).join(" + ");
}
