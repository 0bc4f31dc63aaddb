import { SPANS } from "./peaks.js";

/** Draws a waveform that `full` would fill, its part before `played` (0 to 1) in the accent colour. */
export function draw(canvas: HTMLCanvasElement, spans: Float32Array, full: number, played: number): void {
  const scale = window.devicePixelRatio;
  const [width, height] = [Math.round(canvas.clientWidth * scale), Math.round(canvas.clientHeight * scale)];
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  const context = canvas.getContext("2d");
  if (!context || width === 0) return;
  const colours = getComputedStyle(canvas);
  const [accent, plain] = [colours.getPropertyValue("--accent"), colours.getPropertyValue("--wave")];
  const step = Math.max(2 * scale, 1);
  context.clearRect(0, 0, width, height);
  for (let x = 0; x < width; x += step) {
    const [low, high] = extremes(spans, x / width, (x + step) / width);
    context.fillStyle = x / width < played ? accent : plain;
    const tall = Math.max(scale, ((high - low) / full) * (height / 2));
    context.fillRect(x, (1 - high / full) * (height / 2), step / 2, tall);
  }
}

function extremes(spans: Float32Array, from: number, to: number): [number, number] {
  let [low, high] = [0, 0];
  for (let i = Math.floor(from * SPANS); i < Math.min(SPANS, Math.max(from * SPANS + 1, to * SPANS)); i++) {
    low = Math.min(low, spans[2 * i]!);
    high = Math.max(high, spans[2 * i + 1]!);
  }
  return [low, high];
}
