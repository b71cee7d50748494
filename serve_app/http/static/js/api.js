// Calls of the service. Its errors become ApiError, with the field at fault.

const BASE = new URL("../../../", import.meta.url); // above static/VERSION/js/

export class ApiError extends Error {
  /** status: 0 where the service could not be reached. param: the request's field at fault, or null. */
  constructor(message, { status = 0, param = null, code = null } = {}) {
    super(message);
    Object.assign(this, { status, param, code });
  }
}

export const address = (path) => new URL(path, BASE).href;

/** The response of a call. Raises ApiError, and AbortError if `options.signal` ends it. */
export async function call(path, options = {}) {
  let response;
  try {
    response = await fetch(address(path), options);
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError("", { code: "unreachable" });
  }
  if (response.ok) return response;
  const body = await response.json().catch(() => ({}));
  const { message = `HTTP ${response.status}`, param, code } = body.error ?? {};
  throw new ApiError(message, { status: response.status, param, code });
}

export const get = async (path) => (await call(path)).json();

/** POST or DELETE. body: JSON text, or a FormData. */
export async function send(path, body = undefined, method = "POST") {
  const headers = typeof body === "string" ? { "content-type": "application/json" } : {};
  return (await call(path, { method, body, headers })).json();
}
