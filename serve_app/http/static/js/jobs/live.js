// Follows one job by its events.

import { address, call, get } from "../api.js";

/** onjob: called with the job; onlog: with the lines of its log. Returns a function that ends it. */
export function watch(id, { onjob, onlog }) {
  const path = `v1/jobs/${id}`;
  const lines = [];
  const events = new EventSource(address(`${path}/events`));
  let wanted = true;

  async function readJob() {
    const job = await get(path).catch(() => null); // deleted meanwhile, or the service is away: the list shows it
    if (wanted && job) onjob(job);
  }

  async function readLog() {
    const response = await call(`${path}/log`).catch(() => null);
    if (!wanted || !response) return;
    lines.splice(0, lines.length, ...(await response.text()).trimEnd().split("\n"));
    onlog(lines);
  }

  for (const event of ["state", "progress"]) events.addEventListener(event, readJob);
  events.addEventListener("log", readLog);
  readLog();
  return () => {
    wanted = false;
    events.close();
  };
}
