// One job in the list. It is updated in place, so that open details stay open and the focus stays.

import { address, send } from "../api.js";
import { announce, icon, make } from "../dom.js";
import { bytes, clock, duration, moment, percent, timeOfDay } from "../format.js";
import { t } from "../i18n.js";
import { figures } from "./figures.js";
import { watch } from "./live.js";
import { Segments } from "./segments.js";
import { FINISHED } from "./states.js";

export class JobCard {
  #unwatch = null;

  /** onopen: called when the details open; onchange: when the list should be read again; onerror: with an ApiError. */
  constructor(job, { onopen, onchange, onerror }) {
    Object.assign(this, { id: job.id, onopen, onchange, onerror });
    this.title = make("h2", { class: "clip" });
    this.state = make("span", { class: "state" });
    this.about = make("p", { class: "muted" });
    this.bar = make("progress", { max: 100 });
    this.line = make("p", { class: "figures" });
    this.trouble = make("p", { class: "error", role: "alert", hidden: true });
    this.audio = make("audio", { controls: true, preload: "none", hidden: true });
    this.listen = this.#button("play", () => this.#listen());
    this.download = make("a", { class: "button" });
    this.more = this.#button("more", () => this.toggle());
    this.cancel = this.#button("stop", () => this.#cancel());
    this.remove = this.#button("trash", () => this.#delete());
    this.details = make("div", { class: "details", id: `details-${job.id}`, hidden: true });
    this.more.setAttribute("aria-controls", this.details.id);
    this.figures = make("dl", { class: "grid" });
    this.warnings = make("ul", { class: "warnings" });
    this.segments = new Segments(job, () => this.#redone());
    this.filesTitle = make("h3");
    this.files = make("ul");
    this.logTitle = make("h3");
    this.log = make("pre", { tabIndex: 0, role: "log" });
    this.details.append(this.figures, this.warnings, this.segments.element, this.filesTitle, this.files, this.logTitle, this.log);
    this.element = make("li", { class: "card job", tabIndex: -1, dataset: { job: job.id } },
      make("div", { class: "row" }, this.title, this.state), this.about, this.bar, this.line, this.trouble,
      make("div", { class: "row wrap" }, this.listen, this.download, this.more, make("span", { class: "grow" }), this.cancel, this.remove),
      this.audio, this.details);
    this.update(job);
  }

  get open() {
    return !this.details.hidden;
  }

  get finished() {
    return FINISHED.includes(this.job.state);
  }

  update(job) {
    const changed = this.job && this.job.state !== job.state;
    this.job = job;
    const { state, progress } = job;
    const title = this.name;
    this.title.textContent = title;
    this.state.textContent = t(`state.${state}`, {}, state);
    this.state.dataset.state = job.paused ? "paused" : state;
    this.about.textContent = [job.voice, job.model, job.format?.toUpperCase(), t("job.made", { when: moment(job.created_at) })].filter(Boolean).join(" · ");
    this.bar.hidden = this.finished || state === "queued";
    this.bar.value = progress.percent;
    this.bar.ariaLabel = t("job.progress", { title });
    this.line.textContent = this.#progress();
    this.trouble.textContent = job.error?.message ?? (job.paused ? t("job.paused", { reason: job.paused }) : "");
    this.trouble.hidden = !this.trouble.textContent;
    const main = job.outputs[0];
    this.listen.hidden = this.download.hidden = !main || !this.finished;
    if (main) Object.assign(this.download, { href: address(`v1/jobs/${this.id}/audio`), download: main.name });
    this.cancel.hidden = this.finished;
    this.remove.hidden = !this.finished;
    this.#words();
    this.segments.update(job);
    if (changed) announce(`${title}: ${this.state.textContent}`);
    if (changed && this.finished) this.audio.removeAttribute("src"); // its files may be new
    if (this.open) this.#showDetails();
  }

  /** Opens or closes the details, which follow the job while they are open. */
  toggle(open = !this.open) {
    if (open === this.open) return;
    this.details.hidden = !open;
    this.more.setAttribute("aria-expanded", String(open));
    this.#unwatch?.();
    this.#unwatch = null;
    if (!open) return this.segments.stop();
    this.onopen();
    this.#showDetails();
    return this.#watch();
  }

  close() {
    this.#unwatch?.();
    this.audio.pause();
    this.segments.stop();
    this.element.remove();
  }

  get name() {
    return this.job.title || t("job.untitled");
  }

  #progress() {
    const { state, progress, queue_position: place, faults } = this.job;
    if (state === "queued") return place ? t("job.queue", { n: place }) : "";
    const parts = [];
    if (!this.finished) {
      parts.push(percent(progress.percent / 100));
      if (progress.segments) parts.push(t("job.sentences", { n: progress.segments_done, all: progress.segments }));
      if (progress.chapter) parts.push(t("job.chapter", { chapter: progress.chapter }));
      if (progress.elapsed_seconds) parts.push(t("job.elapsed", { time: duration(progress.elapsed_seconds) }));
      if (progress.remaining_seconds !== null) parts.push(t("job.remaining", { time: duration(progress.remaining_seconds) }));
    } else if (progress.audio_seconds) parts.push(clock(progress.audio_seconds));
    if (faults) parts.push(t("job.faults", { n: faults }));
    return parts.join(" · ");
  }

  #showDetails() {
    this.figures.replaceChildren(...figures(this.job));
    const { warnings, outputs } = this.job;
    this.warnings.replaceChildren(...warnings.map((text) => make("li", {}, text)));
    this.warnings.hidden = !warnings.length;
    this.files.replaceChildren(...outputs.map(({ name, url, bytes: size }) => {
      const link = make("a", { href: address(url.slice(1)), download: name }, name);
      return make("li", {}, link, make("span", { class: "muted" }, ` ${bytes(size)}`));
    }));
    this.files.hidden = this.filesTitle.hidden = !outputs.length;
    this.filesTitle.textContent = t("job.files");
    this.logTitle.textContent = this.log.ariaLabel = t("job.log");
  }

  #addLine({ at, message }) {
    const atEnd = this.log.scrollHeight - this.log.scrollTop - this.log.clientHeight < 40;
    this.log.append(`${timeOfDay(at)}  ${message}\n`);
    if (atEnd) this.log.scrollTop = this.log.scrollHeight;
  }

  #watch() {
    this.#unwatch?.();
    this.log.textContent = ""; // the events repeat the whole log
    this.#unwatch = watch(this.id, { onjob: (job) => this.update(job), online: (line) => this.#addLine(line) });
  }

  /** A sentence is being said again: the job is active, and its files are written once more. */
  #redone() {
    this.audio.pause();
    this.audio.hidden = true;
    this.#watch();
    this.onchange();
  }

  #listen() {
    if (!this.audio.hasAttribute("src")) this.audio.src = address(`v1/jobs/${this.id}/audio`);
    this.audio.hidden = false;
    this.audio.ariaLabel = this.name;
    if (this.audio.paused) this.audio.play();
    else this.audio.pause();
  }

  #cancel() {
    if (confirm(t("job.cancel_sure", { title: this.name }))) this.#ask(`v1/jobs/${this.id}/cancel`, "POST");
  }

  async #delete() {
    if (!confirm(t("job.delete_sure", { title: this.name }))) return;
    if (await this.#ask(`v1/jobs/${this.id}`, "DELETE")) announce(t("job.deleted", { title: this.name }));
  }

  async #ask(path, method) {
    try {
      await send(path, undefined, method);
      this.onchange();
      return true;
    } catch (error) {
      this.onerror(error);
      return false;
    }
  }

  #button(name, onclick) {
    return make("button", { type: "button", class: "quiet", dataset: { icon: name }, on: { click: onclick } });
  }

  #words() {
    const buttons = { listen: "job.listen", more: "job.details", cancel: "job.cancel", remove: "job.delete" };
    for (const [name, key] of Object.entries(buttons)) this[name].replaceChildren(icon(this[name].dataset.icon), t(key));
    this.download.replaceChildren(icon("download"), t("job.download"));
    this.more.setAttribute("aria-expanded", String(this.open));
    this.segments.words();
  }
}
