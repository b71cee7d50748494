// Which view is shown: the address ends with #speak, #book, #jobs or #system, and `#jobs/ID` names a job.

import { find } from "./dom.js";
import { t, whenTranslated } from "./i18n.js";

const VIEWS = ["speak", "book", "jobs", "system"];
const shown = {};
let current = "";

/** Calls `listener(rest)` whenever the view is opened, and `left` when it is left. */
export function whenShown(view, listener, left = () => {}) {
  shown[view] = { listener, left };
}

export const isShown = (view) => current === view;

export function startRouter() {
  addEventListener("hashchange", () => show(true));
  whenTranslated(() => {
    if (current) document.title = `${t(`tab.${current}`)} · Chorale`;
  });
  show(false);
}

function show(moveFocus) {
  const [name, ...rest] = location.hash.slice(1).split("/");
  if (name === "main") return; // the link that skips the navigation
  const wanted = VIEWS.includes(name) ? name : VIEWS[0];
  const changed = wanted !== current;
  if (changed && current) shown[current]?.left();
  current = wanted;
  for (const view of VIEWS) find(view).hidden = view !== wanted;
  for (const link of document.querySelectorAll(".tabs a")) {
    if (link.hash === `#${wanted}`) link.setAttribute("aria-current", "page");
    else link.removeAttribute("aria-current");
  }
  document.title = `${t(`tab.${wanted}`)} · Chorale`;
  if (changed && moveFocus) {
    scrollTo(0, 0);
    find("main").focus({ preventScroll: true });
  }
  shown[wanted]?.listener(rest.join("/"));
}
