// The picture on the book's cover: its own, or one that replaces it.

import { ApiError } from "../api.js";
import { icon, make } from "../dom.js";
import { bytes, number } from "../format.js";
import { t } from "../i18n.js";
import { service } from "../service.js";

const KINDS = ["image/jpeg", "image/png"];

export class Cover {
  file = null;
  #own = null; // {width, height} of the book's own cover, or null

  /** onerror: called with an ApiError for a file that is not allowed. */
  constructor(onerror) {
    this.onerror = onerror;
    this.picker = make("input", { type: "file", accept: KINDS.join(), hidden: true, on: { change: () => this.#use(this.picker.files[0]) } });
    this.choose = make("button", { type: "button", on: { click: () => this.picker.click() } });
    this.remove = make("button", { type: "button", class: "quiet round", on: { click: () => this.clear() } }, icon("close"));
    this.image = make("img", { class: "cover", hidden: true });
    this.label = make("span", { class: "label" });
    this.about = make("p", { class: "muted grow" });
    this.element = make("div", { class: "field", dataset: { field: "cover" } }, this.label,
      make("div", { class: "row" }, this.image, this.about, this.remove), make("div", { class: "row" }, this.choose, this.picker),
      make("p", { class: "error", role: "alert", hidden: true }));
    this.image.addEventListener("error", () => {
      if (!this.file) return;
      this.clear();
      this.#refuse();
    });
    this.words();
  }

  /** A book was opened. own: the size of its cover, or null. */
  show(own) {
    this.#own = own;
    this.clear();
  }

  clear() {
    if (this.image.src) URL.revokeObjectURL(this.image.src);
    this.image.removeAttribute("src");
    this.file = null;
    this.picker.value = "";
    this.words();
  }

  words() {
    this.label.textContent = t("book.field.cover");
    this.choose.replaceChildren(icon("file"), t("cover.choose"));
    this.remove.ariaLabel = this.remove.title = t("cover.remove");
    this.image.alt = t("cover.preview");
    this.image.hidden = this.remove.hidden = !this.file;
    if (this.file) this.about.textContent = `${this.file.name} · ${bytes(this.file.size)}`;
    else if (this.#own) this.about.textContent = t("cover.own", { width: number(this.#own.width), height: number(this.#own.height) });
    else this.about.textContent = t("cover.hint", { most: bytes(this.#most) });
  }

  get #most() {
    return service.limits.max_cover_bytes ?? 10 * 2 ** 20;
  }

  #use(file) {
    if (!file) return;
    this.clear();
    if (!KINDS.includes(file.type) || file.size > this.#most) return this.#refuse();
    this.element.querySelector(".error").hidden = true;
    this.file = file;
    this.image.src = URL.createObjectURL(file);
    this.words();
  }

  #refuse() {
    this.onerror(new ApiError(t("cover.refused", { most: bytes(this.#most) }), { param: "cover" }));
  }
}
