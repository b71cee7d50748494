// The sound of one response: 16-bit mono samples as they arrive, their peaks, and a WAV file of them.

const PEAK_S = 0.01; // seconds that one peak covers

export class Sound {
  peaks = []; // of |sample|, 0 to 1, one for each PEAK_S
  loudest = 0; // of the peaks
  length = 0; // samples
  #parts = [];
  #odd = null; // a byte whose sample is not complete
  #open = 0; // samples in the last peak

  constructor(rate) {
    this.rate = rate;
    this.perPeak = Math.round(rate * PEAK_S);
  }

  get seconds() {
    return this.length / this.rate;
  }

  /** bytes: Uint8Array of any length. Returns their complete samples, Float32Array in -1..1. */
  append(bytes) {
    if (this.#odd !== null) {
      const joined = new Uint8Array(bytes.length + 1);
      joined[0] = this.#odd;
      joined.set(bytes, 1);
      bytes = joined;
    }
    this.#odd = bytes.length % 2 ? bytes[bytes.length - 1] : null;
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length & ~1);
    const values = new Float32Array(view.byteLength / 2);
    for (let i = 0; i < values.length; i++) values[i] = view.getInt16(2 * i, true) / 32768;
    this.#parts.push(bytes.slice(0, view.byteLength));
    this.length += values.length;
    this.#measure(values);
    return values;
  }

  #measure(values) {
    for (const value of values) {
      if (this.#open === 0) this.peaks.push(0);
      const last = this.peaks.length - 1;
      const size = Math.abs(value);
      if (size > this.peaks[last]) this.peaks[last] = size;
      if (size > this.loudest) this.loudest = size;
      this.#open = (this.#open + 1) % this.perPeak;
    }
  }

  /** A Blob. */
  wav() {
    const size = 2 * this.length;
    const header = new DataView(new ArrayBuffer(44));
    const text = (at, word) => [...word].forEach((letter, i) => header.setUint8(at + i, letter.charCodeAt(0)));
    text(0, "RIFF");
    header.setUint32(4, 36 + size, true);
    text(8, "WAVEfmt ");
    header.setUint32(16, 16, true);
    header.setUint16(20, 1, true); // PCM
    header.setUint16(22, 1, true); // channels
    header.setUint32(24, this.rate, true);
    header.setUint32(28, 2 * this.rate, true);
    header.setUint16(32, 2, true);
    header.setUint16(34, 16, true); // bits
    text(36, "data");
    header.setUint32(40, size, true);
    return new Blob([header, ...this.#parts], { type: "audio/wav" });
  }
}
