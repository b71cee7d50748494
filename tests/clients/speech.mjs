// Calls a speech service as a user of OpenAI's JavaScript client does, and prints what came as one line of JSON.
// node speech.mjs http://127.0.0.1:8000/v1

import OpenAI from "openai";

const client = new OpenAI({ baseURL: process.argv[2], apiKey: "any", maxRetries: 0 });
const asked = { model: "gpt-4o-mini-tts", voice: "alloy", input: "Good morning to you all." };

async function failure(call) {
  try {
    await call();
  } catch (error) {
    const { status, code, param, type } = error;
    return { name: error.constructor.name, status, code, param, type, id: Boolean(error.requestID) };
  }
  return null;
}

const models = [];
for await (const model of client.models.list()) models.push(model.id);

const { data, response } = await client.audio.speech
  .create({ ...asked, response_format: "pcm", instructions: "softly", speed: 1.5, seed: 7, user: "me" })
  .withResponse();
const pcm = Buffer.from(await data.arrayBuffer());

const wav = await client.audio.speech.create({ ...asked, response_format: "wav", stream: false });
const file = Buffer.from(await wav.arrayBuffer());

const events = [];
let streamed = 0;
const sse = await client.audio.speech.create({ ...asked, response_format: "mp3", stream_format: "sse" });
for (const line of (await sse.text()).split("\n")) {
  if (!line.startsWith("data: ")) continue;
  const event = JSON.parse(line.slice(6));
  events.push(event.type);
  if (event.audio) streamed += Buffer.from(event.audio, "base64").length;
}

const chunks = [];
const body = (await client.audio.speech.create({ ...asked, response_format: "mp3" })).body;
for await (const chunk of body) chunks.push(chunk.length);

console.log(
  JSON.stringify({
    models,
    pcm: pcm.length,
    seed: response.headers.get("x-seed"),
    ignored: response.headers.get("x-chorale-ignored"),
    type: response.headers.get("content-type"),
    wav: { bytes: file.length, data: file.readUInt32LE(40), rate: file.readUInt32LE(24) },
    sse: { types: [...new Set(events)], bytes: streamed },
    mp3: { chunks: chunks.length, bytes: chunks.reduce((sum, length) => sum + length, 0) },
    voice: await failure(() => client.audio.speech.create({ ...asked, voice: "nobody" })),
    model: await failure(() => client.audio.speech.create({ ...asked, model: "nothing" })),
    field: await failure(() => client.audio.speech.create({ ...asked, colour: "red" })),
  }),
);
