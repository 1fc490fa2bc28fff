// A drawing, and the image that networks see of it. Lengths are in pixels of that image.

export const SIZE = 112; // of the image
export const BOX = 20; // pixels across of a digit of size 1, as of MNIST
const PEN = 2.6; // pixels wide at size 1
const SMOOTHING = 7 / 8; // σ in pixels at size 1, as of MNIST Large Scale

/** Strokes of points [x, y], and a factor by which they are scaled about their middle. */
export class Drawing {
  constructor() {
    this.strokes = [];
    this.factor = 1;
  }

  get isEmpty() {
    return this.strokes.length === 0;
  }

  begin(point) {
    this.strokes = this.placed(); // what is seen is drawn on
    this.factor = 1;
    this.strokes.push([point]);
  }

  goOn(point) {
    this.strokes.at(-1).push(point);
  }

  get middle() {
    const [left, top, right, bottom] = bounds(this.strokes);
    return [(left + right) / 2, (top + bottom) / 2];
  }

  /** In units of MNIST's digits; the pen is a part of it. A dot has the size of a small digit. */
  get size() {
    const [left, top, right, bottom] = bounds(this.strokes);
    return this.factor * Math.max(Math.max(right - left, bottom - top) / (BOX - PEN), 0.25);
  }

  /** The same strokes at another size. */
  resized(size) {
    return Object.assign(new Drawing(), { strokes: this.strokes, factor: (this.factor * size) / this.size });
  }

  get pen() {
    return PEN * this.size;
  }

  /** The scaled strokes, with their middle at `to` where that is given. */
  placed(to) {
    if (this.isEmpty) return [];
    const [x, y] = this.middle;
    const [toX, toY] = to ?? [x, y];
    return this.strokes.map((stroke) =>
      stroke.map((point) => [toX + this.factor * (point[0] - x), toY + this.factor * (point[1] - y)]),
    );
  }

  /** Draw these strokes with the pen of this size. */
  trace(context, strokes) {
    Object.assign(context, { lineWidth: this.pen, lineCap: "round", lineJoin: "round" });
    for (const [first, ...others] of strokes) {
      context.beginPath();
      context.moveTo(...first);
      for (const point of others.length ? others : [first]) context.lineTo(...point);
      context.stroke();
    }
  }
}

const small = Object.assign(document.createElement("canvas"), { width: SIZE, height: SIZE });
const sheet = small.getContext("2d", { willReadFrequently: true });

/** What networks see: the drawing in the middle, smoothed, by the recipe of MNIST Large Scale, in [-0.763, 0.763]. */
export function image(drawing) {
  sheet.fillStyle = "black";
  sheet.fillRect(0, 0, SIZE, SIZE);
  sheet.strokeStyle = "white";
  drawing.trace(sheet, drawing.placed([SIZE / 2, SIZE / 2]));
  const pixels = sheet.getImageData(0, 0, SIZE, SIZE).data;
  const grey = Float32Array.from({ length: SIZE * SIZE }, (_, n) => pixels[4 * n]);
  const taps = gaussian(SMOOTHING * drawing.size);
  const smooth = alongColumns(alongColumns(grey, taps), taps);
  return smooth.map((value) => (2 / Math.PI) * Math.atan(0.02 * (value - 128)));
}

function bounds(strokes) {
  const [xs, ys] = [0, 1].map((axis) => strokes.flat().map((point) => point[axis]));
  return [Math.min(...xs), Math.min(...ys), Math.max(...xs), Math.max(...ys)];
}

function gaussian(sigma) {
  const radius = Math.ceil(3 * sigma);
  const taps = Array.from({ length: 2 * radius + 1 }, (_, n) => Math.exp(-((n - radius) ** 2) / (2 * sigma ** 2)));
  const sum = taps.reduce((a, b) => a + b);
  return taps.map((tap) => tap / sum);
}

/** Smoothed along each column, and transposed: twice is both ways. Outside it is black. */
function alongColumns(grey, taps) {
  const radius = (taps.length - 1) / 2;
  const result = new Float32Array(SIZE * SIZE);
  for (let y = 0; y < SIZE; y++) {
    const [from, to] = [Math.max(0, y - radius), Math.min(SIZE - 1, y + radius)];
    for (let x = 0; x < SIZE; x++) {
      let sum = 0;
      for (let at = from; at <= to; at++) sum += taps[at - y + radius] * grey[at * SIZE + x];
      result[x * SIZE + y] = sum;
    }
  }
  return result;
}
