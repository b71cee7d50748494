// Follows one job by its events.

import { address } from "../api.js";
import { FINISHED } from "./states.js";

/**
 * onjob: called with the job after each change; online: with each line of its log, {at, message}.
 * Returns a function that ends it. It ends with the job, too.
 */
export function watch(id, { onjob, online }) {
  const events = new EventSource(address(`v1/jobs/${id}/events`));

  function changed({ data }) {
    const job = JSON.parse(data);
    const over = job.deleted || FINISHED.includes(job.state);
    if (over) events.close(); // else the browser would connect again for ever
    if (!job.deleted) onjob(job);
  }

  events.addEventListener("state", changed);
  events.addEventListener("progress", changed);
  events.addEventListener("log", ({ data }) => online(JSON.parse(data)));
  return () => events.close();
}
