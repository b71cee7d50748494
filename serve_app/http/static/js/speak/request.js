// A request as JSON, and as a curl command.

import { address } from "../api.js";

/** JSON of `body`. A seed has up to 19 digits, more than a JavaScript number holds, so it is put in as text. */
export function toJson(body) {
  const { seed, ...rest } = body;
  const json = JSON.stringify(rest);
  if (seed === undefined) return json;
  const others = json === "{}" ? "{" : `${json.slice(0, -1)},`;
  return `${others}"seed":${/^\d+$/.test(seed) ? BigInt(seed) : JSON.stringify(seed)}}`;
}

/**
 * body: the request's fields; recording: the name of a file that curl sends as reference_audio, or null; long: whether
 * the answer is a job, which curl prints.
 */
export function toCurl(body, recording, long) {
  const output = long ? "" : ` \\\n  --output speech.${body.response_format}`;
  const call = `curl --fail-with-body ${quoted(address("v1/audio/speech"))} \\\n  -H 'content-type: application/json'`;
  const json = toJson(body);
  if (!recording) return `${call} \\\n  -d ${quoted(json)}${output}`;
  const head = quoted(`${json.slice(0, -1)},"reference_audio":"`);
  const pieces = `printf %s ${head}; base64 < ${quoted(recording)} | tr -d '\\n'; printf '"}'`;
  return `{ ${pieces}; } |\n${call} \\\n  -d @-${output}`;
}

/** As one word of a POSIX shell. */
const quoted = (text) => `'${text.replaceAll("'", "'\\''")}'`;
