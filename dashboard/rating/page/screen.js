// Before rating: the size of the screen, by a bank card; its brightness and contrast; and on request colour plates and rings.

import { call, pause } from "./queue.js";
import { acuity, colour } from "./sight.js";
import { card, give, here, kept, make, paragraphs, say, show, tried } from "./page.js";

const CARD = { long: 85.6, short: 53.98 }; // millimetres, ISO/IEC 7810 ID-1

// A page with a form; resolves with the form when it is sent, or with null where the step is passed over.
function form(title, text, fields, skip) {
  return new Promise((resolve) => {
    const buttons = [make("button", { className: "big", textContent: say("continue") })];
    if (skip) buttons.push(make("button", { type: "button", className: "plain", textContent: skip, onclick: () => resolve(null) }));
    const body = make("form", {}, ...fields, make("div", { className: "choices" }, ...buttons));
    body.addEventListener("submit", (e) => { e.preventDefault(); resolve(body); });
    show("text", card(title, ...paragraphs(text), body));
    body.querySelector("input, button")?.focus({ preventScroll: true });
  });
}

// --- size -----------------------------------------------------------------------------------------------------------------------------

// A frame that is drawn as large as a bank card held against the screen: by dragging its corner, or by the slider and its arrow keys.
// On a narrow screen the card stands upright, so that its short side fits.
async function measure(skip) {
  const upright = innerWidth < 480;
  const side = upright ? "short" : "long";
  const most = Math.max(200, Math.min(1400, document.documentElement.clientWidth - 48));
  const frame = make("div", { className: "bank-card" }, make("span", { className: "chip" }));
  const corner = make("div", { className: "corner" });
  corner.setAttribute("aria-hidden", "true");
  frame.append(corner);
  const slider = make("input", { type: "range", id: "card-size", min: 60, max: most, step: 0.5, value: Math.min(most, Math.round(CARD[side] * 3.2)) });
  const button = () => document.querySelector("form .big");
  const draw = () => {
    const width = Number(slider.value);
    frame.style.width = `${width}px`;
    frame.style.height = `${upright ? (width * CARD.long) / CARD.short : (width * CARD.short) / CARD.long}px`;
  };
  const set = (width) => { slider.value = width; draw(); if (button()) button().disabled = false; };
  slider.addEventListener("input", () => set(slider.value));
  corner.addEventListener("pointerdown", (e) => { corner.setPointerCapture(e.pointerId); e.preventDefault(); });
  corner.addEventListener("pointermove", (e) => { if (corner.hasPointerCapture(e.pointerId)) set(e.clientX - frame.getBoundingClientRect().left); });
  draw();
  const distance = make("input", { type: "number", id: "distance", min: 5, max: 1000, step: 1, required: true, value: here.session.distance_cm });
  const asked = form(say("card_title"), say("card", { distance: here.session.distance_cm }), [
    frame,
    make("label", { htmlFor: "card-size", textContent: say("card_slider") }), slider,
    make("label", { className: "question" }, make("span", { className: "legend", textContent: say("card_distance") }), distance),
  ], skip);
  button().disabled = true; // a size that nobody compared is no measurement
  if (!(await asked)) return null;
  const width = Number(slider.value) * (upright ? CARD.long / CARD.short : 1);
  return { card_px: Math.round(width * 100) / 100, dpr: devicePixelRatio, distance_cm: Number(distance.value) };
}

// --- brightness and contrast ----------------------------------------------------------------------------------------------------------

const DARK = [10, 18, 28, 40]; // grey levels on 0: a screen that is too dark, or a room that is too bright, hides the first of them
const LIGHT = [248, 240, 231, 221]; // on 255

function strip(levels, ground, count) {
  const places = [...Array(6).keys()].sort(() => Math.random() - 0.5).slice(0, count);
  const box = make("div", { className: "strip" });
  box.style.background = `rgb(${ground},${ground},${ground})`;
  for (let i = 0; i < 6; i++) {
    const square = make("i");
    const at = places.indexOf(i);
    const level = at < 0 ? ground : levels[at];
    square.style.background = `rgb(${level},${level},${level})`;
    box.append(square);
  }
  return box;
}

async function brightness() {
  let values;
  for (let turn = 0; turn < 2; turn++) {
    const shown = { dark: 3 + Math.floor(Math.random() * 2), light: 3 + Math.floor(Math.random() * 2) };
    const count = (name) => make("label", { className: "question" }, make("span", { className: "legend", textContent: say(`brightness_${name}`) }), make("input", { type: "number", name, min: 0, max: 6, step: 1, required: true }));
    const done = await form(say("brightness_title"), say(turn ? "brightness_again" : "brightness"), [strip(DARK, 0, shown.dark), count("dark"), strip(LIGHT, 255, shown.light), count("light")]);
    values = { dark_shown: shown.dark, dark_seen: Number(done.elements.dark.value), light_shown: shown.light, light_seen: Number(done.elements.light.value) };
    if (values.dark_seen === shown.dark && values.light_seen === shown.light) break;
  }
  return values;
}

// --- all of it ------------------------------------------------------------------------------------------------------------------------

// Once on each device: another screen has another size. Resolves to false where the study does not take this person.
export async function checkScreen() {
  const { screen: checks, study, rater, screen_failed } = here.session;
  const mark = `screen:${study}:${rater}`;
  if (!checks.length || (kept.get(mark) && here.session.steps.includes("screen"))) return true;
  let measured = null;
  let failed = "";
  const refuse = screen_failed === "refuse";
  const judged = refuse && checks.includes("acuity"); // without the card nobody can be judged: who has none may not take part, and is told so
  for (const check of ["card", "brightness", "colour", "acuity"].filter((c) => checks.includes(c))) {
    let values = null;
    if (check === "card") {
      values = measured = await measure(say(judged ? "card_none_out" : "card_none"));
      if (judged && !values) failed = "acuity not measured";
    }
    else if (check === "brightness") values = await brightness();
    else if (check === "colour") values = await colour();
    else if (measured) values = await acuity(measured);
    if (values) await give("screen", values);
    if (failed === "acuity not measured") break;
    // Sight is judged only where the test itself worked: the plate that everyone reads was read, the screen can show such rings.
    if (check === "colour" && values?.colour_control === 1 && values.colour_right < values.colour_of - 1) failed = "colour plates";
    if (check === "acuity" && values && values.acuity < Math.min(0.5, values.acuity_finest)) failed = "acuity";
  }
  // Before the step counts as done: who closes the tab now is checked again, not let in.
  if (failed && refuse) return !(await refused(failed));
  kept.set(mark, "1");
  if (!here.session.steps.includes("screen")) here.session.steps.push("screen");
  return true;
}

async function refused(reason) {
  let response;
  while (!(response = await tried(() => call(here.token, "POST", "screened", { reason }))) || response.status >= 500 || response.status === 429) await pause(1500);
  const { url = "" } = await response.json().catch(() => ({}));
  const content = [make("p", { textContent: say("screened") })];
  if (/^https?:\/\//.test(url)) content.push(make("a", { className: "big", href: url, textContent: say("back_to_platform"), rel: "noreferrer" }));
  show("text", card(say("title"), ...content));
  return true;
}
