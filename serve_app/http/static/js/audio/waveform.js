// Draws a sound's peaks as bars. Colours come from the canvas's CSS: `color` for what was played, `outline-color` else.

const BAR = 3; // CSS pixels
const GAP = 2;
const QUIETEST = 0.2; // the peak that fills the height at least
const LEAST_S = 3; // seconds that the whole width represents at least

export class Waveform {
  #sound = null;
  #position = 0;
  #asked = false;

  constructor(canvas) {
    this.canvas = canvas;
    new ResizeObserver(() => this.#ask()).observe(canvas);
  }

  /** position: samples played. */
  show(sound, position) {
    this.#sound = sound;
    this.#position = position;
    this.#ask();
  }

  #ask() {
    if (this.#asked) return;
    this.#asked = true;
    requestAnimationFrame(() => {
      this.#asked = false;
      this.#draw();
    });
  }

  #draw() {
    const { canvas } = this;
    const { clientWidth: width, clientHeight: height } = canvas;
    const scale = devicePixelRatio;
    canvas.width = Math.round(width * scale);
    canvas.height = Math.round(height * scale);
    const sound = this.#sound;
    if (!sound?.length || !width) return;
    const context = canvas.getContext("2d");
    context.scale(scale, scale);
    const { color, outlineColor } = getComputedStyle(canvas);
    const bars = Math.floor((width + GAP) / (BAR + GAP));
    const samples = Math.max(sound.length, LEAST_S * sound.rate);
    const loudest = Math.max(QUIETEST, sound.loudest);
    for (let bar = 0; bar < bars; bar++) {
      const from = (bar / bars) * samples;
      if (from >= sound.length) break;
      const first = Math.floor(from / sound.perPeak);
      const last = Math.max(first + 1, Math.floor(((bar + 1) / bars) * samples / sound.perPeak));
      const peak = sound.peaks.slice(first, last).reduce((most, value) => Math.max(most, value), 0) / loudest;
      const size = Math.max(BAR, Math.min(1, peak) * height);
      context.fillStyle = from < this.#position ? color : outlineColor;
      context.beginPath();
      context.roundRect(bar * (BAR + GAP), (height - size) / 2, BAR, size, BAR / 2);
      context.fill();
    }
  }
}
