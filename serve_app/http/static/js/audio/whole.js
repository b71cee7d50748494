// The player where a browser has no AudioWorklet: it begins when the sound is complete.

export class WholePlayer {
  playing = true;
  ended = false;
  #element = new Audio();
  #wanted = true;

  /** As `Player`. sound: the Sound that is being collected. */
  constructor(sound, onchange) {
    this.sound = sound;
    for (const event of ["timeupdate", "play", "pause", "ended"]) {
      this.#element.addEventListener(event, () => {
        this.playing = !this.#element.paused;
        this.ended = this.#element.ended;
        onchange();
      });
    }
  }

  get position() {
    return Math.round(this.#element.currentTime * this.sound.rate);
  }

  add() {}

  finish() {
    this.#element.src = URL.createObjectURL(this.sound.wav());
    if (this.#wanted) this.play();
  }

  play() {
    this.#wanted = true;
    if (this.#element.src) this.#element.play();
  }

  pause() {
    this.#wanted = false;
    this.playing = false;
    this.#element.pause();
  }

  seek(position) {
    this.#element.currentTime = position / this.sound.rate;
  }

  close() {
    this.pause();
    if (this.#element.src) URL.revokeObjectURL(this.#element.src);
  }
}
