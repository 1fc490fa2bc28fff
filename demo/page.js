// Draw a digit: the exported network reads it in this page, and so does an ordinary CNN.

import * as ort from "./vendor/ort.wasm.min.mjs";

const SIZE = 112; // of the networks' images, in pixels
const BOX = 20; // pixels across of a digit of size 1, whose scale channel has a σ₀ of one pixel
const STROKE = 2.6; // pixels wide, at size 1
const SMOOTHING = 7 / 8; // σ in pixels at size 1, as of MNIST Large Scale

const element = (id) => document.getElementById(id);
const canvas = element("drawing");
const ink = canvas.getContext("2d");
const small = Object.assign(document.createElement("canvas"), { width: SIZE, height: SIZE });
const page = small.getContext("2d", { willReadFrequently: true });

let strokes = []; // of points [x, y] in pixels of the networks' images
let networks = null;
let waiting = false;
let busy = false;

// -- the drawing ------------------------------------------------------------------------------------------------------

const factor = () => 2 ** Number(element("scale").value);

function bounds(points) {
  const [xs, ys] = [0, 1].map((axis) => points.map((point) => point[axis]));
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

function middle(points) {
  const [left, top, right, bottom] = bounds(points);
  return [(left + right) / 2, (top + bottom) / 2];
}

/** Strokes scaled about the middle of the drawing, with that moved to `to`, where it is given. */
function placed(to) {
  const points = strokes.flat();
  const [x, y] = middle(points);
  const [toX, toY] = to ?? [x, y];
  return strokes.map((stroke) => stroke.map((at) => [toX + factor() * (at[0] - x), toY + factor() * (at[1] - y)]));
}

function size() {
  const [left, top, right, bottom] = bounds(strokes.flat());
  return (factor() * Math.max(right - left, bottom - top, BOX / 4)) / BOX;
}

function trace(context, lines, width) {
  Object.assign(context, { lineWidth: width, lineCap: "round", lineJoin: "round", strokeStyle: "white" });
  for (const line of lines) {
    context.beginPath();
    context.moveTo(...line[0]);
    for (const point of line.length > 1 ? line.slice(1) : line) context.lineTo(...point);
    context.stroke();
  }
}

/** What is on the canvas, as the networks take it: in the middle, smoothed, between -0.763 and 0.763. */
function image() {
  page.filter = "none";
  page.fillStyle = "black";
  page.fillRect(0, 0, SIZE, SIZE);
  page.filter = `blur(${(SMOOTHING * size()) / 2}px)`;
  trace(page, placed([SIZE / 2, SIZE / 2]), STROKE * size());
  const pixels = page.getImageData(0, 0, SIZE, SIZE).data;
  return Float32Array.from({ length: SIZE * SIZE }, (_, n) => (2 / Math.PI) * Math.atan(0.02 * (pixels[4 * n] - 128)));
}

function show(answer) {
  const zoom = canvas.width / SIZE;
  ink.setTransform(zoom, 0, 0, zoom, 0, 0);
  ink.fillStyle = "#111";
  ink.fillRect(0, 0, SIZE, SIZE);
  if (!strokes.length) return;
  trace(ink, placed(), STROKE * size());
  if (!answer) return;
  ink.strokeStyle = "#d55e00";
  ink.lineWidth = 1;
  ink.beginPath();
  ink.arc(...middle(strokes.flat()), (BOX / Math.SQRT2) * answer.sigma0, 0, 2 * Math.PI);
  ink.stroke();
}

// -- the networks -----------------------------------------------------------------------------------------------------

function softmax(scores) {
  const most = Math.max(...scores);
  const powers = Array.from(scores, (score) => Math.exp(score - most));
  const sum = powers.reduce((a, b) => a + b);
  return powers.map((power) => power / sum);
}

function best(scores) {
  const shares = softmax(scores);
  const digit = shares.indexOf(Math.max(...shares));
  return { digit, confidence: shares[digit] };
}

async function read() {
  const images = new ort.Tensor("float32", image(), [1, 1, SIZE, SIZE]);
  const began = performance.now();
  const ours = await networks.ours.run({ images });
  const milliseconds = performance.now() - began;
  const theirs = await networks.cnn.run({ images });
  const answer = { ...best(ours.scores.data), sigma0: ours.sigma0.data[0], milliseconds, cnn: best(theirs.scores.data) };
  const channels = networks.window.length;
  answer.channels = networks.window.map((_, n) => ours.channel_scores.data[answer.digit * channels + n]);
  return answer;
}

/** Once more whenever something has changed, never twice at a time. */
async function update() {
  show(null);
  if (!networks || !strokes.length) return tell(null);
  waiting = true;
  if (busy) return;
  busy = true;
  while (waiting && strokes.length) {
    waiting = false;
    const answer = await read();
    if (strokes.length) {
      show(answer);
      tell(answer);
    }
  }
  busy = false;
}

function tell(answer) {
  const percent = (share) => `${(100 * share).toFixed(0)} % sure`;
  element("digit").value = answer ? answer.digit : "–";
  element("confidence").value = answer ? percent(answer.confidence) : "";
  element("cnn-digit").value = answer ? answer.cnn.digit : "–";
  element("cnn-confidence").value = answer ? percent(answer.cnn.confidence) : "";
  const scores = answer ? answer.channels : [];
  const [least, most] = [Math.min(...scores), Math.max(...scores)];
  [...element("channels").children].forEach((bar, n) => {
    bar.classList.toggle("wins", scores[n] === most);
    bar.firstElementChild.style.height = answer ? `${(100 * (scores[n] - least)) / (most - least + 1e-9)}%` : "0";
  });
  if (networks) element("status").textContent = answer ? `${answer.milliseconds.toFixed(0)} ms an answer` : "draw a digit";
  window.answer = answer;
}

// -- pen, slider, start -----------------------------------------------------------------------------------------------

function point(event) {
  const box = canvas.getBoundingClientRect();
  return [(SIZE * (event.clientX - box.left)) / box.width, (SIZE * (event.clientY - box.top)) / box.height];
}

/** A new stroke is drawn on what is seen: the scaled drawing becomes the drawing. */
function begin(event) {
  canvas.setPointerCapture(event.pointerId);
  if (strokes.length) strokes = placed();
  element("scale").value = 0;
  element("factor").value = "×1";
  strokes.push([point(event)]);
  update();
}

function go_on(event) {
  if (!canvas.hasPointerCapture(event.pointerId)) return;
  strokes.at(-1).push(point(event));
  update();
}

function clear() {
  strokes = [];
  element("scale").value = 0;
  element("factor").value = "×1";
  update();
}

async function start() {
  ort.env.wasm.numThreads = 1; // more need headers that a plain file server does not send
  ort.env.wasm.wasmPaths = new URL("./vendor/", import.meta.url).href;
  const about = await (await fetch("networks.json")).json();
  const [ours, cnn] = await Promise.all(
    ["scalegroup.onnx", "cnn.onnx"].map((name) => ort.InferenceSession.create(name, { executionProviders: ["wasm"] })),
  );
  networks = { ours, cnn, window: about.window };
  element("channels").innerHTML = about.window
    .map((sigma) => `<div class="channel"><i></i><span>${sigma.toFixed(2).replace(/0$/, "")}</span></div>`)
    .join("");
  update();
}

canvas.addEventListener("pointerdown", begin);
canvas.addEventListener("pointermove", go_on);
element("clear").addEventListener("click", clear);
element("scale").addEventListener("input", () => {
  element("factor").value = `×${factor().toFixed(2)}`;
  update();
});
show(null);
start().catch((error) => {
  element("status").textContent = `could not be loaded: ${error.message}; build the page with make page`;
});
