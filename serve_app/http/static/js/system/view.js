// The view "System".

import { get, send } from "../api.js";
import { announce, find, keepFields, make } from "../dom.js";
import { messageOf } from "../errors.js";
import { bytes, duration, number } from "../format.js";
import { t, whenTranslated } from "../i18n.js";
import { isShown, whenShown } from "../router.js";
import { modelCard } from "./model.js";

const EVERY_MS = 3000;

export function startSystem() {
  const body = find("system-body");
  const trouble = find("system-error");
  const button = find("free-cache");
  let timer = 0;
  let known = null;

  const fail = (error) => {
    trouble.textContent = messageOf(error);
    trouble.hidden = false;
  };

  async function read() {
    clearTimeout(timer);
    try {
      known = await get("v1/status");
      trouble.hidden = true;
      show();
    } catch (error) {
      fail(error);
    }
    if (isShown("system") && !document.hidden) timer = setTimeout(read, EVERY_MS);
  }

  function show() {
    if (!known) return;
    const models = Object.entries(known.models).map(([name, model]) => modelCard(name, model, name === known.model));
    keepFields(body, () => body.replaceChildren(serviceCard(known), ...models));
  }

  button.addEventListener("click", async () => {
    button.disabled = true;
    button.textContent = t("system.freeing");
    try {
      const { before, after } = await send("v1/cache/free");
      const [was, is] = [before, after].map((sum) => sum.rss_bytes + (sum.device_reserved_bytes ?? 0));
      const figures = { freed: bytes(Math.max(0, was - is)), before: bytes(was), after: bytes(is) };
      const note = find("freed");
      note.textContent = t(was > is ? "system.freed" : "system.freed_nothing", figures);
      note.hidden = false;
      announce(note.textContent);
      await read();
    } catch (error) {
      fail(error);
    } finally {
      button.disabled = false;
      button.textContent = t("system.free");
    }
  });
  document.addEventListener("visibilitychange", () => {
    if (isShown("system") && !document.hidden) read();
  });
  whenTranslated(show);
  whenShown("system", read, () => clearTimeout(timer));
}

function serviceCard({ ready, ingress }) {
  const figures = [
    ["uptime", duration(ingress.uptime_s)],
    ["requests", number(ingress.speech_requests)],
    ["listening", number(ingress.listening)],
    ["memory", bytes(ingress.memory.rss_bytes)],
    ["retried", number(ingress.segments_retried)],
    ["cut", number(ingress.segments_cut_off)],
  ];
  const state = make("span", { class: "state", dataset: { state: ready ? "done" : "queued" } }, t(ready ? "system.ready" : "system.not_ready"));
  return make("section", { class: "card" },
    make("div", { class: "row" }, make("h2", { class: "grow" }, t("system.service")), state),
    make("dl", { class: "grid" }, figures.map(([name, value]) => make("div", {}, make("dt", {}, t(`system.${name}`)), make("dd", {}, value)))));
}
