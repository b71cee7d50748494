// The list of chapters to select.

import { make } from "../dom.js";
import { t } from "../i18n.js";

export class Chapters {
  /** chapters: of the answer to dry_run. */
  constructor(chapters) {
    this.chapters = chapters;
    this.boxes = chapters.map(({ index, included }) => make("input", { type: "checkbox", id: `chapter-${index}`, checked: included, on: { change: () => this.#count() } }));
    this.count = make("output", { class: "muted grow" });
    const all = (checked) => {
      for (const box of this.boxes) box.checked = checked;
      this.#count();
    };
    const button = (key, checked) => make("button", { type: "button", class: "quiet", on: { click: () => all(checked) } }, t(key));
    const rows = chapters.map(({ title, characters, reason }, n) => make("li", {}, make("label", { class: "check" }, this.boxes[n],
      make("span", { class: "grow" }, title || t("book.untitled", { n: n + 1 }), reason ? make("small", {}, reason) : null),
      make("span", { class: "muted figures" }, t("book.characters", { n: characters })))));
    this.element = make("section", { class: "card field", dataset: { field: "chapters" }, "aria-labelledby": "chapters-title" },
      make("h2", { id: "chapters-title" }, t("book.chapters")),
      make("div", { class: "row" }, this.count, button("book.all", true), button("book.none", false)),
      make("ul", { class: "chapters" }, rows), make("p", { class: "error", role: "alert", hidden: true }));
    this.#count();
  }

  /** The indices of the ticked chapters. */
  get chosen() {
    return this.#ticked().map(({ index }) => index);
  }

  #ticked() {
    return this.chapters.filter((_, n) => this.boxes[n].checked);
  }

  #count() {
    const ticked = this.#ticked();
    const characters = ticked.reduce((sum, chapter) => sum + chapter.characters, 0);
    this.count.textContent = t("book.chosen", { n: ticked.length, all: this.chapters.length, characters });
  }
}
