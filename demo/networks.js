// The two networks, in onnxruntime-web.

import * as ort from "./ort.wasm.min.mjs";
import { SIZE } from "./drawing.js";

ort.env.wasm.numThreads = 1; // more need headers that a plain file server does not send
ort.env.wasm.proxy = true; // in a worker, so that drawing never waits

/** What gives the answers for an image; `window` are σ₀ of its scale channels. */
export async function load() {
  const { window } = await (await fetch("scalegroup.json")).json();
  const names = ["scalegroup.onnx", "cnn.onnx"];
  const [ours, cnn] = await Promise.all(names.map((name) => ort.InferenceSession.create(name)));

  async function read(pixels) {
    const began = performance.now();
    const run = (net) => net.run({ images: new ort.Tensor("float32", pixels.slice(), [1, 1, SIZE, SIZE]) });
    const result = await run(ours);
    const milliseconds = performance.now() - began;
    const answer = best(result.scores.data);
    const from = answer.digit * window.length;
    const channels = Array.from(result.channel_scores.data.slice(from, from + window.length));
    const theirs = best((await run(cnn)).scores.data);
    return { ...answer, sigma0: result.sigma0.data[0], channels, milliseconds, cnn: theirs };
  }

  return { window, read };
}

/** The digit that scores highest, and its share in the softmax of all. */
function best(scores) {
  const most = Math.max(...scores);
  const sum = scores.reduce((total, score) => total + Math.exp(score - most), 0);
  return { digit: scores.indexOf(most), confidence: 1 / sum };
}
