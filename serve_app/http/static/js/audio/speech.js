// One streamed speech request: it plays as it arrives.

import { ApiError, call } from "../api.js";
import { canStream, Player } from "./player.js";
import { Sound } from "./sound.js";
import { WholePlayer } from "./whole.js";

const RATE = 24_000; // Hz; the service's default for pcm

export class Speech {
  sound = new Sound(RATE);
  about = null; // {seed, voice, warnings, silence}, from the response's headers
  arriving = true;
  error = null;
  #abort = new AbortController();

  /** body: the JSON of the request, which must ask for pcm. onchange: called when anything changes. */
  constructor(body, onchange) {
    this.onchange = onchange;
    this.player = canStream() ? new Player(RATE, onchange) : new WholePlayer(this.sound, onchange);
    this.done = this.#run(body);
  }

  async #run(body) {
    try {
      const response = await call("v1/audio/speech", {
        method: "POST",
        headers: { "content-type": "application/json" },
        body,
        signal: this.#abort.signal,
      });
      const told = (name) => response.headers.get(name);
      this.about = {
        seed: told("x-seed"),
        voice: told("x-voice"),
        warnings: told("x-warnings")?.split(", ") ?? [],
        silence: told("x-chorale-silence") !== null,
      };
      const reader = response.body.getReader();
      for (let part = await read(reader); !part.done; part = await read(reader)) {
        this.player.add(this.sound.append(part.value));
        this.onchange();
      }
    } catch (error) {
      if (error.name !== "AbortError") this.error = error;
    }
    this.arriving = false;
    if (this.sound.length) this.player.finish();
    this.onchange();
  }

  /** Ends the request; what has arrived can still be played. */
  stop() {
    this.#abort.abort();
    this.player.pause();
  }

  close() {
    this.#abort.abort();
    this.player.close();
  }
}

/** The next part. A response that breaks off is an error of the service. */
async function read(reader) {
  try {
    return await reader.read();
  } catch (error) {
    throw error.name === "AbortError" ? error : new ApiError("", { code: "broken" });
  }
}
