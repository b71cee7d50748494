// Records from the microphone.

const KINDS = ["audio/webm;codecs=opus", "audio/mp4", "audio/ogg;codecs=opus"];
const METER_MS = 60;

export const canRecord = () => Boolean(navigator.mediaDevices?.getUserMedia) && "MediaRecorder" in globalThis;

export class Recorder {
  /** onlevel: called with (level from 0 to 1, seconds) while it records. longest: seconds after which it stops. */
  constructor(onlevel, longest) {
    this.onlevel = onlevel;
    this.longest = longest;
  }

  /** Sets `recorded`, a promise of the recording, a File. Raises DOMException if the user or the system refuses. */
  async start() {
    // Filters made for calls change a voice, so they stay off.
    const audio = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    this.stream = await navigator.mediaDevices.getUserMedia({ audio });
    const mimeType = KINDS.find((kind) => MediaRecorder.isTypeSupported(kind));
    this.recorder = new MediaRecorder(this.stream, { mimeType, audioBitsPerSecond: 128_000 });
    const parts = [];
    this.recorder.ondataavailable = ({ data }) => parts.push(data);
    this.recorded = new Promise((resolve) => {
      this.recorder.onstop = () => {
        this.#release();
        const type = this.recorder.mimeType.split(";")[0];
        resolve(new File(parts, `recording.${type.split("/")[1]}`, { type }));
      };
    });
    this.#measure();
    this.recorder.start();
  }

  stop() {
    if (this.recorder?.state === "recording") this.recorder.stop();
  }

  #measure() {
    this.context = new AudioContext();
    const analyser = this.context.createAnalyser();
    this.context.createMediaStreamSource(this.stream).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const began = performance.now();
    this.timer = setInterval(() => {
      analyser.getFloatTimeDomainData(samples);
      const seconds = (performance.now() - began) / 1000;
      this.onlevel(Math.min(1, Math.max(...samples.map(Math.abs))), seconds);
      if (seconds >= this.longest) this.stop();
    }, METER_MS);
  }

  #release() {
    clearInterval(this.timer);
    this.context.close();
    for (const track of this.stream.getTracks()) track.stop();
  }
}
