// The panel of the current speech: waveform, position, seed, download.

import { call } from "../api.js";
import { Speech } from "../audio/speech.js";
import { Waveform } from "../audio/waveform.js";
import { announce, find, icon, make, save } from "../dom.js";
import { clock, number } from "../format.js";
import { t, warningText, whenTranslated } from "../i18n.js";
import { recall, remember } from "../storage.js";
import { whenThemed } from "../theme.js";
import { toJson } from "./request.js";

const FORMATS = ["wav", "mp3", "opus", "aac", "flac"];

export class Result {
  #speech = null;
  #body = null; // of the request, with the seed that was used
  #began = 0;
  #first = null; // seconds until the first sound

  /** onerror: called with an ApiError. onseed: called with a seed to keep. onformat: the format was changed. */
  constructor({ onerror, onseed, onformat }) {
    this.onerror = onerror;
    this.panel = find("player");
    this.waveform = new Waveform(find("waveform"));
    this.format = find("format");
    this.format.append(...FORMATS.map((name) => make("option", { value: name }, name.toUpperCase())));
    this.format.value = this.chosenFormat ?? FORMATS[0];
    this.format.addEventListener("change", () => {
      remember("format", this.format.value);
      onformat();
    });
    find("player-play").addEventListener("click", () => this.toggle());
    find("player-stop").addEventListener("click", () => this.#speech?.stop());
    find("player-seek").addEventListener("input", ({ target }) => this.#speech?.player.seek(Math.round(target.value * this.#speech.sound.rate)));
    find("keep-seed").addEventListener("click", () => onseed(this.#speech.about.seed));
    find("download").addEventListener("click", () => this.#download());
    whenTranslated(() => this.#show());
    whenThemed(() => this.#show());
  }

  /** The format that the user once chose, or undefined. */
  get chosenFormat() {
    return FORMATS.find((name) => name === recall("format"));
  }

  /** body: the request's fields. extra: more fields, too large for `body` to be kept with them. */
  start(body, extra) {
    this.#speech?.close();
    this.#began = performance.now();
    this.#first = null;
    this.#body = { ...body, ...extra };
    const json = toJson({ ...this.#body, response_format: "pcm", stream_format: "audio" });
    const speech = new Speech(json, () => {
      if (speech === this.#speech) this.#changed();
    });
    this.#speech = speech;
    this.panel.hidden = false;
    this.#show();
    speech.done.then(() => {
      if (speech !== this.#speech) return;
      if (speech.error) this.onerror(speech.error);
      else if (speech.about) announce(t("player.done", { seconds: number(speech.sound.seconds, 1) }));
      if (!speech.sound.length) this.panel.hidden = true;
    });
    return speech.done;
  }

  toggle() {
    const player = this.#speech?.player;
    if (player?.playing) player.pause();
    else player?.play();
  }

  #changed() {
    if (this.#speech.sound.length && this.#first === null) this.#first = (performance.now() - this.#began) / 1000;
    this.#show();
  }

  #show() {
    const speech = this.#speech;
    if (!speech) return;
    const { sound, player } = speech;
    this.waveform.show(sound, player.position);
    const play = find("player-play");
    const wanted = player.playing ? "pause" : "play";
    if (play.dataset.icon !== wanted) play.replaceChildren(icon(wanted));
    play.dataset.icon = wanted;
    play.ariaLabel = t(`player.${wanted}`);
    const at = player.position / sound.rate;
    const seek = find("player-seek");
    seek.max = sound.seconds;
    seek.value = at;
    seek.setAttribute("aria-valuetext", t("player.at", { now: clock(at), whole: clock(sound.seconds) }));
    find("player-time").textContent = `${clock(at)} / ${clock(sound.seconds)}`;
    find("player-stop").disabled = !speech.arriving;
    find("download").disabled = speech.arriving || !sound.length;
    find("download-label").textContent = t("player.download");
    find("keep-seed").hidden = !speech.about;
    this.#about();
    Object.assign(this.panel.dataset, { received: sound.length, played: player.position, arriving: speech.arriving });
  }

  #about() {
    const { about, arriving, sound } = this.#speech;
    const parts = [];
    if (!sound.length) parts.push(t("player.waiting"));
    else {
      parts.push(t("player.first", { seconds: number(this.#first, 2) }));
      if (about.silence) parts.push(t("player.silence"));
      parts.push(t("player.seed", { seed: about.seed }), t(arriving ? "player.arriving" : "player.complete"));
    }
    const text = parts.join(" · ");
    const place = find("player-about");
    if (place.textContent !== text) place.textContent = text;
    const warnings = find("player-warnings");
    const told = (about?.warnings ?? []).map((warning) => make("li", {}, warningText(warning)));
    warnings.hidden = !told.length;
    warnings.replaceChildren(...told);
  }

  /** WAV is made from the samples here. For other formats the service speaks the text again with the same seed. */
  async #download() {
    const { sound, about } = this.#speech;
    const format = this.format.value;
    const name = `${about.voice}-${about.seed}.${format === "opus" ? "ogg" : format}`;
    if (format === "wav") return save(sound.wav(), name);
    const button = find("download");
    button.disabled = true;
    find("download-label").textContent = t("player.preparing");
    try {
      const body = toJson({ ...this.#body, seed: about.seed, response_format: format, stream: false });
      const headers = { "content-type": "application/json" };
      const response = await call("v1/audio/speech", { method: "POST", headers, body });
      save(await response.blob(), name);
    } catch (error) {
      this.onerror(error);
    } finally {
      this.#show();
    }
  }
}
