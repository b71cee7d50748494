// Small helpers for building and finding elements.

const ICONS = new URL("../icons.svg", import.meta.url).href;

export const find = (id) => document.getElementById(id);

/**
 * Makes an element. `on` holds listeners; names with a dash and `role` or `for` become attributes, others properties.
 * Children that are null or false are left out.
 */
export function make(tag, properties = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (value === undefined || value === null) continue;
    if (name === "on") for (const [event, listener] of Object.entries(value)) made.addEventListener(event, listener);
    else if (name === "class") made.className = value;
    else if (name === "dataset") Object.assign(made.dataset, value);
    else if (name.includes("-") || name === "role" || name === "for" || name === "list") made.setAttribute(name, value);
    else made[name] = value;
  }
  made.append(...children.flat().filter((child) => child !== null && child !== undefined && child !== false));
  return made;
}

/** An icon of icons.svg. It is decorative: its button needs a name of its own. */
export function icon(name) {
  const namespace = "http://www.w3.org/2000/svg";
  const svg = document.createElementNS(namespace, "svg");
  svg.setAttribute("class", "icon");
  svg.setAttribute("aria-hidden", "true");
  const use = document.createElementNS(namespace, "use");
  use.setAttribute("href", `${ICONS}#${name}`);
  svg.append(use);
  return svg;
}

/** Announces a message to screen readers. */
export function announce(message) {
  find("announcer").textContent = message;
}

/** Offers a file to the user. source: a Blob, or an address. */
export function save(source, name) {
  const address = source instanceof Blob ? URL.createObjectURL(source) : source;
  make("a", { href: address, download: name }).click();
  if (source instanceof Blob) setTimeout(() => URL.revokeObjectURL(address), 60_000);
}

/** Calls `listener` at most once in `wait` milliseconds, the last time after the last call. */
export function debounced(listener, wait) {
  let timer = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(listener, wait);
  };
}

/** Renders `place` again without losing what its fields hold. Fields are identified by their ids. */
export function keepFields(place, render) {
  const before = new Map([...place.querySelectorAll("[id]:is(input, select, textarea)")].map((field) => [field.id, field]));
  const open = new Set([...place.querySelectorAll("details[open]")].map(({ id }) => id));
  render();
  for (const field of place.querySelectorAll("[id]:is(input, select, textarea)")) {
    const old = before.get(field.id);
    if (!old) continue;
    field.value = old.value;
    field.checked = old.checked;
    field.dispatchEvent(new Event("input"));
    field.dispatchEvent(new Event("change"));
  }
  for (const details of place.querySelectorAll("details")) details.open ||= open.has(details.id);
}
