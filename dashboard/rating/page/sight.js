// Colour plates and rings for visual acuity, drawn by the page itself. They tell who should not judge colours or fine detail on this screen;
// they are no clinical test.

import { card, make, paragraphs, say, show } from "./page.js";

// Device pixels in one degree of visual angle, straight ahead; card_px: width of a bank card (85.6 mm) in CSS pixels. bench/study/given.py has
// the same formula.
const pxPerDegree = (card_px, dpr, distance_cm) => ((card_px * dpr) / 85.6) * 2 * (10 * distance_cm) * Math.tan(((0.5 / 180) * Math.PI));

const pick = (list) => list[Math.floor(Math.random() * list.length)];

// --- colour ---------------------------------------------------------------------------------------------------------------------------

// Linear RGB to the cones' responses L, M, S and back (Viénot, Brettel and Mollon 1999). Who lacks L (protan) or M (deutan) cannot tell apart
// colours that differ in that response alone.
const FROM_LMS = [[0.0809444479, -0.130504409, 0.116721066], [-0.0102485335, 0.0540193266, -0.113614708], [-0.000365296938, -0.00412161469, 0.693511405]];
const GROUND = [0.33, 0.29, 0.12]; // linear RGB between the two colours of a plate
const AXES = { protan: [2.6, 0, 0], deutan: [0, 1.5, 0] }; // half the difference of figure and ground, in cone responses

// Linear RGB of figure and ground of a plate.
export function colours(kind) {
  if (kind === "control") return [[0.62, 0.5, 0.1], [0.1, 0.12, 0.3]];
  const step = FROM_LMS.map((row) => row.reduce((sum, w, i) => sum + w * AXES[kind][i], 0));
  return [1, -1].map((sign) => GROUND.map((v, i) => v + sign * step[i]));
}

const encoded = (v) => Math.round(255 * Math.min(1, Math.max(0, v <= 0.0031308 ? 12.92 * v : 1.055 * v ** (1 / 2.4) - 0.055)));

function digitMask(size, digit) {
  const canvas = make("canvas", { width: size, height: size });
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.font = `bold ${Math.round(size * 0.72)}px sans-serif`;
  pen.textAlign = "center";
  pen.textBaseline = "middle";
  pen.fillText(String(digit), size / 2, size * 0.53);
  const { data } = pen.getImageData(0, 0, size, size);
  return (x, y) => data[4 * (Math.round(y) * size + Math.round(x)) + 3] > 127;
}

// Dots of many sizes and brightnesses fill a disc: only their colour shows the digit.
function plate(kind, digit) {
  const size = 280, ratio = Math.max(1, Math.round(devicePixelRatio));
  const canvas = make("canvas", { width: size * ratio, height: size * ratio, className: "plate" });
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", say("colour_alt"));
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  const inside = digitMask(size, digit);
  const [figure, ground] = colours(kind);
  const dots = [];
  for (let tries = 0; tries < 9000 && dots.length < 900; tries++) {
    const r = tries < 600 ? 7 : tries < 3000 ? 5 : 3;
    const x = Math.random() * size, y = Math.random() * size;
    if (Math.hypot(x - size / 2, y - size / 2) > size / 2 - r || dots.some((d) => Math.hypot(d.x - x, d.y - y) < d.r + r + 0.6)) continue;
    dots.push({ x, y, r });
    const bright = 0.65 + 0.6 * Math.random();
    pen.fillStyle = `rgb(${(inside(x, y) ? figure : ground).map((v) => encoded(v * bright)).join(",")})`;
    pen.beginPath();
    pen.arc(x, y, r, 0, 2 * Math.PI);
    pen.fill();
  }
  return canvas;
}

// Four plates along the two confusion axes behind one that everyone can read. Digits that look alike (1 and 7, 6 and 8) do not occur together.
export async function colour() {
  const kinds = ["control", "deutan", "protan", "deutan", "protan"];
  let right = 0, control = 0;
  for (const [i, kind] of kinds.entries()) {
    const digit = pick([2, 3, 4, 5, 6, 7, 9]);
    const answer = await choose(say("colour_title"), say("colour", { n: i + 1, of: kinds.length }), plate(kind, digit),
      [...Array(10).keys()].map((d) => [d, String(d)]).concat([[-1, say("colour_nothing")]]), (key) => (/^[0-9]$/.test(key) ? Number(key) : undefined));
    if (kind === "control") control = answer === digit ? 1 : 0;
    else right += answer === digit ? 1 : 0;
  }
  return { colour_right: right, colour_of: kinds.length - 1, colour_control: control };
}

// --- acuity ---------------------------------------------------------------------------------------------------------------------------

const LEVELS = [0.2, 0.32, 0.5, 0.8, 1, 1.25]; // decimal acuity: one over the gap in minutes of arc
const SIDES = ["up", "right", "down", "left"];
const ANGLE = { up: -90, right: 0, down: 90, left: 180 };

// A Landolt ring (ISO 8596): five gaps across, one gap thick, drawn in device pixels.
function ring(gap, side) {
  const size = Math.ceil(5 * gap) + 8;
  const canvas = make("canvas", { width: size, height: size });
  canvas.style.width = canvas.style.height = `${size / devicePixelRatio}px`;
  canvas.setAttribute("role", "img");
  canvas.setAttribute("aria-label", say("acuity_alt"));
  const pen = canvas.getContext("2d");
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, size, size);
  pen.translate(size / 2, size / 2);
  pen.rotate((ANGLE[side] * Math.PI) / 180);
  pen.lineWidth = gap;
  pen.strokeStyle = "#000";
  pen.beginPath();
  pen.arc(0, 0, 2 * gap, 0, 2 * Math.PI);
  pen.stroke();
  pen.fillRect(0, -gap / 2, 2.5 * gap + 2, gap);
  return make("div", { className: "ring" }, canvas);
}

// Two of three rings of a size must be right before the next finer ones come. Finer than two device pixels a gap is not drawn honestly.
export async function acuity({ card_px, dpr, distance_cm }) {
  const minute = pxPerDegree(card_px, dpr, distance_cm) / 60; // device pixels in a minute of arc
  const levels = LEVELS.filter((level) => minute / level >= 2);
  let best = 0;
  for (const level of levels) {
    let right = 0, wrong = 0;
    while (right < 2 && wrong < 2) {
      const side = pick(SIDES);
      const options = SIDES.map((s) => [s, say(`acuity_${s}`)]);
      const answer = await choose(say("acuity_title"), say("acuity", { distance: distance_cm }), ring(minute / level, side), options, (key) => SIDES.find((s) => key.toLowerCase() === `arrow${s}`));
      if (answer === side) right += 1;
      else wrong += 1;
    }
    if (wrong >= 2) break;
    best = level;
  }
  return { acuity: best, acuity_finest: levels.at(-1) ?? 0 };
}

// --- a choice -------------------------------------------------------------------------------------------------------------------------

// A picture and buttons below it; a key may answer too.
function choose(title, text, picture, options, fromKey) {
  return new Promise((resolve) => {
    const done = (value) => { removeEventListener("keydown", press); resolve(value); };
    const press = (e) => {
      const value = e.ctrlKey || e.metaKey || e.altKey || e.repeat ? undefined : fromKey(e.key);
      if (value !== undefined) { e.preventDefault(); done(value); }
    };
    const buttons = options.map(([value, label]) => make("button", { type: "button", className: "plain", textContent: label, onclick: () => done(value) }));
    addEventListener("keydown", press);
    show("text", card(title, ...paragraphs(text), make("div", { className: "picture" }, picture), make("div", { className: "answers" }, ...buttons)));
  });
}
