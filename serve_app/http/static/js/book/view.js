// The view "Book": a file, its chapters, a voice, and the options of its job.

import { ApiError, send } from "../api.js";
import { announce, find, icon, keepFields, make } from "../dom.js";
import { clearErrors, showError } from "../errors.js";
import { t, whenTranslated } from "../i18n.js";
import { whenShown } from "../router.js";
import { refresh, service } from "../service.js";
import { Chapters } from "./chapters.js";
import { Cover } from "./cover.js";
import { renderOptions, optionFields } from "./options.js";

let use = () => {};

/** Opens the view with a file. */
export function openBook(file) {
  location.hash = "#book";
  use(file);
}

export function startBook() {
  const form = find("book-form");
  let file = null;
  let plan = null; // the answer to dry_run
  let chapters = null;

  const general = make("p", { class: "error banner-error", role: "alert", hidden: true });
  const picker = make("input", { type: "file", accept: ".epub,.txt,.md", hidden: true });
  const choose = make("button", { type: "button", on: { click: () => picker.click() } });
  const hint = make("p", {});
  const about = make("p", { class: "grow clip" });
  const drop = make("div", { class: "card drop field", dataset: { field: "file" } }, icon("book"), hint, about, choose, picker,
    make("p", { class: "error", role: "alert", hidden: true }));
  const rest = make("div", { class: "columns", hidden: true });
  form.append(general, drop, rest);

  const fail = (error) => showError(form, general, error);
  const cover = new Cover(fail);

  use = async (chosen) => {
    if (!chosen) return;
    file = chosen;
    plan = null;
    clearErrors(form, general);
    words(true);
    try {
      const found = await send("v1/jobs?dry_run=true", fields());
      if (!service.voices.length) await refresh(); // the form lists them
      plan = found;
      cover.show(plan.cover);
      announce(plan.title);
    } catch (error) {
      fail(error.code === "unknown_url" ? new ApiError(t("jobs.unavailable")) : error);
    }
    words(false);
    render();
  };

  function words(reading) {
    hint.hidden = file !== null;
    hint.textContent = t("book.drop");
    about.hidden = file === null;
    about.textContent = reading ? t("book.reading") : (file?.name ?? "");
    choose.textContent = t(file ? "book.other" : "book.choose");
    choose.disabled = reading;
    drop.classList.toggle("filled", file !== null);
  }

  function render() {
    rest.hidden = plan === null;
    if (plan === null) return;
    chapters = new Chapters(plan.chapters);
    const start = make("button", { type: "submit", class: "primary" }, icon("play"), t("book.start"));
    const warnings = plan.warnings.length ? make("ul", { class: "warnings" }, plan.warnings.map((text) => make("li", {}, text))) : null;
    const { details, output, more } = renderOptions(plan, file);
    cover.words();
    details.append(cover.element);
    const left = make("div", { class: "column" }, warnings, chapters.element, more);
    rest.replaceChildren(left, make("div", { class: "column" }, details, output, start));
  }

  function fields() {
    const data = new FormData();
    data.append("file", file);
    if (plan === null) return data;
    if (cover.file) data.append("cover", cover.file);
    data.append("chapters", JSON.stringify(chapters.chosen));
    for (const [name, value] of optionFields(form)) data.append(name, value);
    return data;
  }

  picker.addEventListener("change", () => use(picker.files[0]));
  drop.addEventListener("dragover", (event) => {
    event.preventDefault();
    drop.classList.add("over");
  });
  drop.addEventListener("dragleave", () => drop.classList.remove("over"));
  drop.addEventListener("drop", (event) => {
    event.preventDefault();
    drop.classList.remove("over");
    use(event.dataTransfer.files[0]);
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    clearErrors(form, general);
    if (!chapters.chosen.length) return fail(new ApiError(t("book.no_chapters"), { param: "chapters" }));
    const start = form.querySelector("[type=submit]");
    start.disabled = true;
    try {
      const job = await send("v1/jobs", fields());
      location.hash = `#jobs/${job.id}`;
    } catch (error) {
      fail(error);
    } finally {
      start.disabled = false;
    }
    return undefined;
  });
  whenShown("book", () => refresh().catch(fail));
  whenTranslated(() => {
    words(false);
    keepFields(rest, render);
  });
}
