// Shows the service's errors unchanged, at the field that they name.

import { ApiError } from "./api.js";
import { t } from "./i18n.js";

export function messageOf(error) {
  return error.status === 0 && error.code ? t(`error.${error.code}`) : error.message;
}

/**
 * Shows an error at the field of `form` with its name, else in `general`. The field gets the focus.
 * Another kind of error than ApiError is a bug of this page, and is rethrown.
 */
export function showError(form, general, error) {
  if (!(error instanceof ApiError)) throw error;
  clearErrors(form, general);
  const field = error.param ? form.querySelector(`[data-field="${CSS.escape(error.param)}"]`) : null;
  const place = field?.querySelector(":scope > .error") ?? general;
  place.textContent = messageOf(error);
  place.hidden = false;
  if (field) {
    const input = field.querySelector("input:not([hidden]), textarea, select, button");
    for (let around = field.parentElement; around; around = around.parentElement) {
      if (around.tagName === "DETAILS") around.open = true;
    }
    if (input) {
      place.id ||= `error-${error.param}`;
      input.setAttribute("aria-invalid", "true");
      input.setAttribute("aria-describedby", place.id);
      input.focus();
    }
  }
}

export function clearErrors(form, general) {
  general.hidden = true;
  for (const shown of form.querySelectorAll(".error:not([hidden])")) shown.hidden = true;
  for (const input of form.querySelectorAll("[aria-invalid]")) {
    input.removeAttribute("aria-invalid");
    input.removeAttribute("aria-describedby");
  }
}
