// A job's figures: its speed and its resource use.

import { make } from "../dom.js";
import { bytes, clock, duration, number, percent } from "../format.js";
import { t } from "../i18n.js";

/** Pairs of <dt> and <dd> for the figures that the job has. */
export function figures({ progress, device, process, system }) {
  const memory = (used, total) => (total ? t("figure.of", { part: bytes(used), whole: bytes(total) }) : bytes(used));
  const found = [
    ["audio", progress.audio_seconds, clock],
    ["rate", progress.characters_per_second, (value) => number(value, 1)],
    ["rtf", progress.real_time_factor, (value) => number(value, 2)],
    ["batches", progress.batch_seconds?.length ? progress.batch_seconds : null, (value) => value.map(duration).join(", ")],
    ["device", device?.name, String],
    ["device_memory", device?.memory_used_bytes, (value) => memory(value, device.memory_total_bytes)],
    ["utilization", device?.utilization, (value) => percent(value / 100)],
    ["process", process?.memory_bytes, bytes],
    ["system", system?.memory_used_bytes, (value) => memory(value, system.memory_total_bytes)],
    ["cpu", system?.cpu_percent, (value) => percent(value / 100)],
  ];
  return found
    .filter(([, value]) => value !== null && value !== undefined)
    .map(([name, value, shown]) => make("div", {}, make("dt", {}, t(`figure.${name}`)), make("dd", {}, shown(value))));
}
