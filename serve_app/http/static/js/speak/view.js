// The view "Speak".

import { ApiError, send } from "../api.js";
import { openBook } from "../book/view.js";
import { debounced, find, announce } from "../dom.js";
import { clearErrors, messageOf, showError } from "../errors.js";
import { t, whenTranslated } from "../i18n.js";
import { isShown, whenShown } from "../router.js";
import { refresh, service } from "../service.js";
import { addVoice } from "../voices/dialog.js";
import { VoicePicker } from "../voices/picker.js";
import { Reference } from "../voices/reference.js";
import { stopSample } from "../voices/sample.js";
import { Reading } from "./reading.js";
import { toCurl, toJson } from "./request.js";
import { Result } from "./result.js";
import { chosenSettings, startSettings } from "./settings.js";
import { Text } from "./text.js";

const CURL_MS = 150;
const JOB_FORMAT = "mp3";
const AGAIN_MS = 3000;

let timer = 0;

export function startSpeak() {
  const form = find("speak-form");
  const general = find("speak-error");
  const fail = (error) => showError(form, general, error);
  const showCurl = debounced(() => {
    const format = text.long ? (result.chosenFormat ?? JOB_FORMAT) : find("format").value;
    find("curl").textContent = toCurl({ ...fields(), response_format: format }, recording(), text.long);
  }, CURL_MS);

  const changed = () => {
    showCurl();
    reading.refresh();
  };

  const reading = new Reading(() => {
    const { model, language } = chosenSettings();
    return { input: text.value, model, language };
  });
  const text = new Text(changed, openBook);
  const reference = new Reference(find("reference"), showCurl);
  const picker = new VoicePicker(find("voices"), find("voice-search"), {
    model: () => find("model").value,
    onchange: showCurl,
    onerror: fail,
  });
  const result = new Result({
    onerror: fail,
    onformat: showCurl,
    onseed: (seed) => {
      find("seed").value = seed;
      showCurl();
      announce(t("player.seed_kept", { seed }));
    },
  });
  startSettings(changed);

  const source = () => form.elements.source.value;
  const recording = () => (source() === "recording" ? (reference.file?.name ?? "recording.wav") : null);

  function fields() {
    const body = { ...chosenSettings(), input: text.value };
    if (source() === "library") body.voice = picker.value;
    else if (find("reference-text").value.trim()) body.reference_text = find("reference-text").value.trim();
    return body;
  }

  async function speak() {
    const body = fields();
    clearErrors(form, general);
    stopSample();
    if (source() === "recording" && !reference.file) {
      return fail(new ApiError(t("reference.missing"), { param: "reference_audio" }));
    }
    const extra = source() === "recording" ? { reference_audio: await reference.base64() } : {};
    return text.long ? makeJob({ ...body, ...extra }) : result.start(body, extra);
  }

  /** The service turns a long text into a job unless the request streams. */
  async function makeJob(body) {
    try {
      const job = await send("v1/audio/speech", toJson({ ...body, response_format: result.chosenFormat ?? JOB_FORMAT }));
      location.hash = `#jobs/${job.id}`;
    } catch (error) {
      fail(error);
    }
  }

  form.addEventListener("submit", (event) => {
    event.preventDefault();
    speak();
  });
  find("input").addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) form.requestSubmit();
  });
  for (const radio of form.elements.source) {
    radio.addEventListener("change", () => {
      find("library").hidden = source() !== "library";
      find("recording").hidden = source() !== "recording";
      showCurl();
    });
  }
  find("reference-text").addEventListener("input", showCurl);
  find("add-voice").addEventListener("click", () => addVoice((id) => picker.choose(id)));
  find("copy-curl").addEventListener("click", async () => {
    await navigator.clipboard.writeText(find("curl").textContent);
    announce(t("curl.copied"));
  });
  find("copy-curl").hidden = !navigator.clipboard; // needs a secure context

  whenShown("speak", load, stopSample);
  whenTranslated(showCurl);
}

/** Loads the service's models and voices, and retries until it responds and a model is ready. */
async function load() {
  clearTimeout(timer);
  const banner = find("banner");
  let trouble = "";
  try {
    await refresh();
    if (!service.models.some(({ state }) => state === "ready")) trouble = t("speak.starting");
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    trouble = messageOf(error);
  }
  banner.textContent = trouble;
  banner.hidden = !trouble;
  if (trouble && isShown("speak")) timer = setTimeout(load, AGAIN_MS);
}
