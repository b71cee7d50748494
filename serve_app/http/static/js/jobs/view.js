// The view "Jobs".

import { get, send } from "../api.js";
import { announce, find } from "../dom.js";
import { messageOf } from "../errors.js";
import { t, whenTranslated } from "../i18n.js";
import { isShown, whenShown } from "../router.js";
import { JobCard } from "./card.js";
import { FINISHED } from "./states.js";

const BUSY_MS = 2000; // between readings while a job is unfinished
const IDLE_MS = 10_000;
const MOST = 50; // jobs that are shown

export function startJobs() {
  const list = find("job-list");
  const empty = find("jobs-empty");
  const trouble = find("jobs-error");
  const clean = find("clean-jobs");
  const older = find("jobs-older");
  const cards = new Map();
  let timer = 0;
  let missing = false; // the service has no jobs

  const fail = (error) => {
    trouble.textContent = messageOf(error);
    trouble.hidden = false;
  };

  // One at a time, because a browser has few connections to a host and open details keep one.
  function closeOthers(id) {
    for (const [other, card] of cards) if (other !== id) card.toggle(false);
  }

  async function read() {
    clearTimeout(timer);
    try {
      const { data, has_more: more } = await get(`v1/jobs?limit=${MOST}`);
      missing = false;
      trouble.hidden = true;
      show(data);
      older.hidden = !more;
      older.textContent = t("jobs.newest", { n: MOST });
    } catch (error) {
      missing = error.code === "unknown_url";
      if (missing) show([]);
      else fail(error);
    }
    const busy = [...cards.values()].some((card) => !card.finished);
    if (isShown("jobs") && !document.hidden) timer = setTimeout(read, busy ? BUSY_MS : IDLE_MS);
  }

  function show(jobs) {
    const ids = new Set(jobs.map(({ id }) => id));
    for (const [id, card] of cards) {
      if (ids.has(id)) continue;
      card.close();
      cards.delete(id);
    }
    jobs.forEach((job, index) => {
      const known = cards.get(job.id);
      if (known) known.update(job);
      else cards.set(job.id, new JobCard(job, { onopen: () => closeOthers(job.id), onchange: read, onerror: fail }));
      const { element } = cards.get(job.id);
      if (list.children[index] !== element) list.insertBefore(element, list.children[index] ?? null);
    });
    clean.hidden = !jobs.some(({ state }) => FINISHED.includes(state));
    empty.hidden = jobs.length > 0;
    empty.textContent = t(missing ? "jobs.unavailable" : "jobs.empty");
  }

  clean.addEventListener("click", async () => {
    if (!confirm(t("jobs.clean_sure"))) return;
    try {
      const { deleted } = await send("v1/jobs/clean");
      announce(t("jobs.cleaned", { n: deleted }));
    } catch (error) {
      fail(error);
    }
    await read();
  });
  document.addEventListener("visibilitychange", () => {
    if (isShown("jobs") && !document.hidden) read();
  });
  whenTranslated(() => {
    for (const card of cards.values()) card.update(card.job);
    empty.textContent = t(missing ? "jobs.unavailable" : "jobs.empty");
  });
  whenShown(
    "jobs",
    async (id) => {
      await read();
      const card = cards.get(id);
      card?.toggle(true);
      card?.element.focus();
    },
    () => clearTimeout(timer),
  );
}
