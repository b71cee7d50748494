// Plays sound that is still arriving. It runs on the browser's audio thread.

const REPORT = 2048; // samples between reports of the position
const RESUME_S = 0.3; // of sound that must arrive before playback resumes after running out

class Tape extends AudioWorkletProcessor {
  parts = []; // Float32Array each
  starts = []; // the first sample of each part
  total = 0; // samples that have arrived
  position = 0; // the next sample to play
  part = 0; // the part that holds it
  playing = true;
  whole = false; // true when nothing more will arrive
  dry = false;
  reported = 0;

  constructor() {
    super();
    this.port.onmessage = ({ data }) => this[data.call](data.value);
  }

  add(samples) {
    this.starts.push(this.total);
    this.parts.push(samples);
    this.total += samples.length;
  }

  finish() {
    this.whole = true;
  }

  play(playing) {
    this.playing = playing;
  }

  seek(position) {
    this.position = Math.max(0, Math.min(position, this.total));
    this.part = Math.max(0, this.starts.findLastIndex((start) => start <= this.position));
    this.report();
  }

  process(_inputs, [[out]]) {
    if (!this.playing) return true;
    const left = this.total - this.position;
    if (this.dry && (this.whole || left >= RESUME_S * sampleRate)) this.dry = false;
    if (this.dry) return true;
    let written = 0;
    while (written < out.length && this.position < this.total) {
      const from = this.position - this.starts[this.part];
      if (from >= this.parts[this.part].length) {
        this.part += 1;
        continue;
      }
      const piece = this.parts[this.part].subarray(from, from + out.length - written);
      out.set(piece, written);
      written += piece.length;
      this.position += piece.length;
    }
    const ended = this.position === this.total && this.whole;
    if (written < out.length && !this.whole && this.total > 0) this.dry = true;
    if (ended) this.playing = false;
    if (ended || this.position - this.reported >= REPORT) this.report(ended);
    return true;
  }

  report(ended = false) {
    this.reported = this.position;
    this.port.postMessage({ position: this.position, ended });
  }
}

registerProcessor("tape", Tape);
