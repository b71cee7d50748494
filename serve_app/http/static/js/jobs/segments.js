// The sentences of a job: listed page by page, heard one by one, and said again.

import { address, ApiError, get, send } from "../api.js";
import { announce, icon, make } from "../dom.js";
import { messageOf } from "../errors.js";
import { duration } from "../format.js";
import { current, t } from "../i18n.js";
import { refreshVoices, service } from "../service.js";
import { SegmentForm } from "./segment_form.js";

const PAGE = 50; // sentences in one request
const SPOKEN = ["done", "done_with_faults"]; // jobs whose sentences can be said again

export class Segments {
  #segments = [];
  #more = false;
  #editing = null; // the SegmentForm that is open
  #audio = new Audio();
  #playing = null; // the index of the sentence that sounds

  /** onredo: called when the job has begun to say a sentence again. */
  constructor(job, onredo) {
    Object.assign(this, { job, onredo });
    const id = `segments-${job.id}`;
    this.summary = make("summary", {});
    this.chapter = make("select", { id: `${id}-chapter`, on: { change: () => this.reload() } });
    this.chapterLabel = make("label", { class: "hidden", for: this.chapter.id });
    this.flagged = make("input", { type: "checkbox", id: `${id}-flagged`, on: { change: () => this.reload() } });
    this.flaggedWords = make("span", {});
    this.trouble = make("p", { class: "error", role: "alert", hidden: true });
    this.list = make("ol", { class: "sentences" });
    this.next = make("button", { type: "button", on: { click: () => this.#load() } });
    this.element = make("details", { id, on: { toggle: () => this.#toggled() } }, this.summary,
      make("div", { class: "row wrap filters" }, this.chapterLabel, this.chapter, make("label", { class: "check" }, this.flagged, this.flaggedWords)),
      this.trouble, this.list, this.next);
    for (const event of ["ended", "pause", "error"]) this.#audio.addEventListener(event, () => this.#sounds(null));
    this.words();
  }

  /** The job has changed. Its sentences are read again when it is finished. */
  update(job) {
    const before = this.job.state;
    this.job = job;
    this.element.hidden = !job.progress.segments;
    if (before === job.state) return;
    if (this.element.open && SPOKEN.includes(job.state)) this.reload();
    else this.#show();
  }

  /** Writes the texts again if the language has changed. */
  words() {
    if (this.language === current()) return;
    this.language = current();
    this.summary.textContent = t("segments.title");
    this.chapterLabel.textContent = t("segments.chapter");
    this.flaggedWords.textContent = t("segments.flagged");
    this.next.textContent = t("segments.more");
    if (this.chapter.options.length) this.chapter.options[0].textContent = t("segments.all");
    this.#show();
  }

  stop() {
    this.#audio.pause();
  }

  /** Reads as many sentences as are shown, from the first. */
  async reload() {
    const shown = Math.min(Math.max(PAGE, this.#segments.length), 1000);
    this.#segments = [];
    await this.#load(shown);
  }

  async #toggled() {
    if (!this.element.open) return this.stop();
    if (this.#segments.length) return undefined;
    await this.#chapters();
    return this.#load();
  }

  async #chapters() {
    const { chapters } = await this.#asked(() => get(`v1/jobs/${this.job.id}/report`), { chapters: [] });
    const options = chapters.map(({ index, title }) => make("option", { value: index }, title || t("book.untitled", { n: index + 1 })));
    this.chapter.replaceChildren(make("option", { value: "" }, t("segments.all")), ...options);
    this.chapter.hidden = chapters.length < 2;
  }

  async #load(limit = PAGE) {
    const query = new URLSearchParams({ limit, after: this.#segments.at(-1)?.index ?? -1 });
    if (this.chapter.value) query.set("chapter", this.chapter.value);
    if (this.flagged.checked) query.set("flagged", "true");
    const page = await this.#asked(() => get(`v1/jobs/${this.job.id}/segments?${query}`), { data: [], has_more: false });
    this.#segments.push(...page.data);
    this.#more = page.has_more;
    this.#show();
  }

  async #asked(ask, otherwise) {
    this.trouble.hidden = true;
    try {
      return await ask();
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      this.trouble.textContent = messageOf(error);
      this.trouble.hidden = false;
      return otherwise;
    }
  }

  #show() {
    this.next.hidden = !this.#more;
    this.list.replaceChildren(...this.#segments.map((segment) => this.#row(segment)));
    if (!this.#segments.length && this.element.open) this.list.append(make("li", { class: "muted" }, t("segments.none")));
  }

  #row(segment) {
    const n = segment.index + 1;
    const flags = [["faulty", segment.state === "faulty"], ["retried", segment.retried], ["cut", segment.cut], ["waiting", segment.state === "waiting"]];
    const about = [segment.speaker && segment.speaker !== segment.voice ? `${segment.speaker} (${segment.voice})` : segment.voice, segment.seconds ? duration(segment.seconds) : ""];
    const play = this.#button(this.#playing === segment.index ? "stop" : "play", t(this.#playing === segment.index ? "segments.stop" : "segments.play", { n }), () => this.#toggle(segment));
    const again = this.#button("again", t("segments.again_n", { n }), () => this.#edit(segment));
    play.disabled = segment.state !== "spoken";
    again.disabled = !SPOKEN.includes(this.job.state);
    const row = make("li", { value: n, dataset: { segment: segment.index } },
      make("div", { class: "row" }, make("p", { class: "grow" }, segment.text), play, again),
      make("p", { class: "muted" }, about.filter(Boolean).join(" · "),
        flags.filter(([, holds]) => holds).map(([name]) => make("span", { class: "flag", dataset: { flag: name } }, t(`segments.${name}`)))),
      segment.error ? make("p", { class: "error" }, segment.error) : null);
    if (this.#editing?.segment.index === segment.index) row.append(this.#editing.element);
    return row;
  }

  #button(name, label, onclick) {
    const button = make("button", { type: "button", class: "quiet round", title: label, "aria-label": label, on: { click: onclick } }, icon(name));
    button.dataset.icon = name;
    return button;
  }

  #toggle({ index, seconds }) {
    const was = this.#playing;
    this.stop();
    if (was === index) return this.#sounds(null);
    this.#audio.src = address(`v1/jobs/${this.job.id}/segments/${index}/audio`);
    this.#sounds(index);
    announce(duration(seconds));
    return this.#audio.play().catch(() => this.#sounds(null));
  }

  #sounds(index) {
    this.#playing = index;
    for (const row of this.list.children) {
      const button = row.querySelector("[data-icon=play], [data-icon=stop]");
      if (!button) continue;
      const sounds = Number(row.dataset.segment) === index;
      const name = sounds ? "stop" : "play";
      if (button.dataset.icon === name) continue;
      button.dataset.icon = name;
      button.replaceChildren(icon(name));
      button.ariaLabel = button.title = t(`segments.${name}`, { n: Number(row.dataset.segment) + 1 });
    }
  }

  async #edit(segment) {
    if (!service.voices.length) await this.#asked(refreshVoices);
    const close = () => {
      this.#editing = null;
      this.#show();
      this.list.querySelector(`[data-segment="${segment.index}"] [data-icon=again]`)?.focus();
    };
    this.#editing = new SegmentForm(segment, service.voices, {
      onclose: close,
      onsend: async (body) => {
        await send(`v1/jobs/${this.job.id}/segments/${segment.index}`, body);
        close();
        announce(t("segments.begun", { n: segment.index + 1 }));
        this.onredo();
      },
    });
    this.#show();
    this.#editing.focus();
  }
}
