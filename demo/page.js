// Draw a digit, and see what the networks say to it, at every size.

import { BOX, Drawing, image, SIZE } from "./drawing.js";
import { load } from "./networks.js";

const STEPS = Array.from({ length: 8 }, (_, n) => -1 + n / 2); // log₂ of the sizes in the table, along the slider

const element = (id) => document.getElementById(id);
const canvas = element("drawing");
const slider = element("size");
const ink = canvas.getContext("2d");
ink.scale(canvas.width / SIZE, canvas.width / SIZE);

let drawing = new Drawing();
let networks = null;
let changed = false; // what is seen has not been read yet
let remaining = []; // sizes that the table lacks: [place, log₂ of the size]
let busy = false;

// -- reading ----------------------------------------------------------------------------------------------------------

/** First what is seen, then the table; never two at a time. */
async function read() {
  if (busy || !networks) return;
  busy = true;
  canvas.dataset.read = "";
  while (!drawing.isEmpty && (changed || remaining.length)) {
    const { strokes } = drawing;
    if (changed) {
      changed = false;
      const answer = await networks.read(image(drawing));
      if (!drawing.isEmpty) tell(answer);
    } else {
      const [place, step] = remaining.shift();
      const answer = await networks.read(image(drawing.resized(2 ** step)));
      if (strokes === drawing.strokes) tellSize(place, answer);
    }
  }
  busy = false;
  if (element("ours-at").lastChild.textContent) canvas.dataset.read = "all"; // for tests
}

function update() {
  changed = true;
  show(null);
  read();
}

// -- showing ----------------------------------------------------------------------------------------------------------

/** The drawing, and around it the circle of a digit of the size that the winning channel tells. */
function show(answer) {
  ink.clearRect(0, 0, SIZE, SIZE);
  element("hint").hidden = !drawing.isEmpty;
  slider.disabled = drawing.isEmpty;
  element("pixels").value = drawing.isEmpty ? "" : `${Math.round(BOX * drawing.size)} px`;
  if (drawing.isEmpty) return;
  ink.strokeStyle = "white";
  drawing.trace(ink, drawing.placed());
  if (!answer) return;
  ink.strokeStyle = "#f08a24";
  ink.lineWidth = 0.8;
  ink.beginPath();
  ink.arc(...drawing.middle, (BOX / Math.SQRT2) * answer.sigma0, 0, 2 * Math.PI);
  ink.stroke();
}

function tell(answer) {
  show(answer);
  tellDigit("digit", "confidence", answer);
  tellDigit("cnn-digit", "cnn-confidence", answer?.cnn);
  const scores = answer?.channels ?? [];
  const [least, most] = [Math.min(...scores), Math.max(...scores)];
  [...element("channels").children].forEach((channel, n) => {
    channel.classList.toggle("wins", scores[n] === most);
    const height = scores.length ? (scores[n] - least) / (most - least) : 0;
    channel.querySelector("i").style.height = `${100 * height}%`;
  });
  element("status").textContent = answer ? `${Math.round(answer.milliseconds)} ms an answer` : "ready";
  canvas.dataset.answer = JSON.stringify(answer); // for tests
}

function tellDigit(digit, confidence, answer) {
  element(digit).value = answer?.digit ?? "–";
  element(confidence).textContent = answer ? `${Math.round(100 * answer.confidence)} % sure` : "";
}

function tellSize(place, answer) {
  element("ours-at").children[place].textContent = answer.digit;
  element("cnn-at").children[place].textContent = answer.cnn.digit;
  element("cnn-at").children[place].classList.toggle("other", answer.cnn.digit !== answer.digit);
}

function clearTable() {
  remaining = [];
  for (const row of ["ours-at", "cnn-at"]) element(row).innerHTML = "<span></span>".repeat(STEPS.length);
}

// -- pen and slider ---------------------------------------------------------------------------------------------------

function at(event) {
  const box = canvas.getBoundingClientRect();
  return [(SIZE * (event.clientX - box.left)) / box.width, (SIZE * (event.clientY - box.top)) / box.height];
}

function goOn(event) {
  drawing.goOn(at(event));
  slider.value = Math.log2(drawing.size);
  update();
}

function clear() {
  drawing = new Drawing();
  clearTable();
  tell(null);
}

canvas.addEventListener("pointerdown", (event) => {
  canvas.setPointerCapture(event.pointerId);
  clearTable();
  drawing.begin(at(event));
  goOn(event);
});
canvas.addEventListener("pointermove", (event) => {
  if (canvas.hasPointerCapture(event.pointerId)) goOn(event);
});
for (const end of ["pointerup", "pointercancel"])
  canvas.addEventListener(end, () => {
    remaining = [...STEPS.entries()];
    read();
  });
slider.addEventListener("input", () => {
  drawing = drawing.resized(2 ** slider.value);
  update();
});
element("clear").addEventListener("click", clear);

// -- start ------------------------------------------------------------------------------------------------------------

try {
  networks = await load();
  const channel = (sigma) => `<div class="channel"><div><i></i></div><span>${Number(sigma.toPrecision(2))}</span></div>`;
  element("channels").innerHTML = networks.window.map(channel).join("");
  clearTable();
  tell(null);
} catch (error) {
  element("status").textContent = `the networks could not be loaded (${error.message}); build the page with make page`;
}
