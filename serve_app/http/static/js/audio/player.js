// A player for sound that is still arriving: it begins with the first part.

const WORKLET = new URL("worklet.js", import.meta.url).href;

/** Needs a secure context (https, or this machine): elsewhere browsers have no AudioWorklet. */
export const canStream = () => "audioWorklet" in AudioContext.prototype;

export class Player {
  position = 0; // samples played, as last reported
  playing = true;
  ended = false;

  /**
   * onchange: called when the position or the state changes. Make the player within the handler of a user's action,
   * because only then a browser lets it sound.
   */
  constructor(rate, onchange) {
    this.rate = rate;
    this.onchange = onchange;
    this.context = new AudioContext({ sampleRate: rate });
    this.pending = [];
    this.started = this.#start();
  }

  async #start() {
    await this.context.audioWorklet.addModule(WORKLET);
    if (this.context.state === "closed") return;
    this.node = new AudioWorkletNode(this.context, "tape", { numberOfInputs: 0, outputChannelCount: [1] });
    this.node.port.onmessage = ({ data }) => {
      this.position = data.position;
      if (data.ended) {
        this.ended = true;
        this.playing = false;
      }
      this.onchange();
    };
    this.node.connect(this.context.destination);
    for (const [message, moved] of this.pending) this.node.port.postMessage(message, moved);
    this.pending = [];
  }

  /** samples: a Float32Array, which the player takes over. */
  add(samples) {
    this.#tell("add", samples, [samples.buffer]);
  }

  finish() {
    this.#tell("finish");
  }

  play() {
    if (this.ended) this.seek(0);
    this.#playing(true);
  }

  pause() {
    this.#playing(false);
  }

  /** position: in samples. */
  seek(position) {
    this.ended = false;
    this.position = position;
    this.#tell("seek", position);
    this.onchange();
  }

  close() {
    this.playing = false;
    if (this.context.state !== "closed") this.context.close();
  }

  #playing(playing) {
    this.playing = playing;
    this.#tell("play", playing);
    if (playing) this.context.resume();
    this.onchange();
  }

  #tell(call, value = undefined, moved = []) {
    if (this.node) this.node.port.postMessage({ call, value }, moved);
    else this.pending.push([{ call, value }, moved]);
  }
}
