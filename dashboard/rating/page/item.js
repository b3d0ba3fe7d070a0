// One item on the screen: an example, an image or a pair to rate, a check of attention, a practice image.

import { pause } from "./queue.js";
import { $, ask, card, here, inSentence, make, notice, progress, say, show } from "./page.js";
import { fit, painted, pinched, place, screenFacts, wanted } from "./show.js";

const SETTLE = 350; // ms in which another key still changes the answer before the next image comes

export const answered = new Map(); // position -> {score, revision}: the answers of this visit, which can be corrected

const round = (ms) => Math.max(0, Math.round(ms * 10) / 10);
const isExample = (item) => item.task.startsWith("anchor");

// Of a pair that stands one above the other, "left" is the upper one.
export function gradeLabel(score, layout = "row") {
  if (here.session.method !== "pair") return here.words[`grade_${score}`] ?? "";
  return say((layout === "column" ? ["upper", "lower", "tie"] : ["left", "right", "tie"])[score - 1]);
}

// --- before it can be shown -----------------------------------------------------------------------------------------------------------

async function unpinched() {
  let told = false;
  while (here.session.fractional === "refuse" && pinched()) {
    if (!told) { show("grey", card(say("zoom_title"), make("p", { textContent: say("zoom") }))); here.queue.report("fractional", null, visualViewport.scale); }
    told = true;
    await pause(300);
  }
}

// The images, when they are there; meanwhile the screen says what it waits for. null where the server no longer gives them.
async function load(names) {
  let loaded;
  const job = Promise.all(names.map((name) => here.images.get(name))).then((found) => { loaded = found; }, () => { loaded = null; });
  await Promise.race([job, pause(400)]);
  for (let told = ""; loaded === undefined; await Promise.race([job, pause(300)])) {
    if (here.pending.left) return null;
    const why = here.images.failing || here.queue.offline ? "offline_stop" : "loading";
    if (why === told) continue;
    told = why;
    here.waiting = why === "offline_stop";
    const texts = [make("p", { textContent: say(why) })];
    if (here.waiting && here.queue.size) texts.push(make("p", { className: "small", textContent: say("waiting", { n: here.queue.size }) }));
    show("grey", here.waiting ? card(say("offline_title"), ...texts) : card(say("loading")));
    notice();
  }
  here.waiting = false;
  notice();
  if (loaded === null) here.pending.resync = true;
  return loaded;
}

// --- its size -------------------------------------------------------------------------------------------------------------------------

const smallest = new Map(); // window -> k: examples and images to rate have one size although their sentences differ in length

function size(state) {
  const { stage, scale, pictures } = state;
  // Words are never broken: where one is wider than its button, the grades stand below each other.
  scale?.classList.remove("stack");
  if (scale && [...scale.querySelectorAll("span")].some((s) => s.scrollWidth > s.clientWidth)) scale.classList.add("stack");
  if (!pictures.length) return true;
  stage.classList.add("measuring"); // without images, and as large as the room that everything else leaves
  const found = fit(pictures, here.session.zoom, { width: stage.clientWidth, height: stage.clientHeight });
  stage.classList.remove("measuring");
  const key = [innerWidth, innerHeight, devicePixelRatio, found.layout, ...pictures.map((p) => p.naturalWidth)].join();
  state.k = Math.min(found.k, smallest.get(key) ?? found.k);
  if (state.k) smallest.set(key, state.k);
  state.layout = found.layout;
  stage.classList.toggle("column", found.layout === "column");
  for (const picture of pictures) place(picture, Math.max(1, state.k));
  if (pictures.length > 1) {
    pictures.forEach((p, i) => { p.alt = say([["image_alt_left", "image_alt_upper"], ["image_alt_right", "image_alt_lower"]][i][found.layout === "column" ? 1 : 0]); });
    scale?.querySelectorAll("[data-score]").forEach((b) => name(b, Number(b.dataset.score), found.layout));
  }
  return state.k > 0;
}

export function resized() { if (here.current) size(here.current); }

let enlarged = false;

// Once in a visit, where the window is smaller than the screen and images become smaller by it.
async function tooSmall(state) {
  const room = screen.availWidth > innerWidth * 1.15 || screen.availHeight > innerHeight * 1.35;
  if (enlarged || !state.pictures.length || state.k >= wanted(here.session.zoom) || !room || !matchMedia("(pointer: fine)").matches) return false;
  enlarged = true;
  await ask("grey", say("enlarge_title"), [make("p", { textContent: say("enlarge") })]);
  return true;
}

async function untilItFits() {
  const before = `${innerWidth}x${innerHeight}`;
  const [width, height] = here.session.largest.map((n) => n / devicePixelRatio);
  const never = Math.max(screen.width, screen.height) < Math.max(width, height) || Math.min(screen.width, screen.height) < Math.min(width, height);
  show("grey", card(say(never ? "small_screen_title" : "narrow_title"), make("p", { textContent: say(never ? "small_screen" : "narrow") })));
  while (`${innerWidth}x${innerHeight}` === before && !here.pending.left) await pause(300);
}

// --- its parts ------------------------------------------------------------------------------------------------------------------------

function name(button, score, layout) {
  const label = gradeLabel(score, layout);
  button.querySelector("span").textContent = label;
  button.setAttribute("aria-label", `${score} ${label}`);
}

function scaleOf(answer) {
  const buttons = here.session.scores.map((score) => {
    const button = make("button", { type: "button", disabled: true }, make("b", { textContent: score }), make("span"));
    name(button, score, "row");
    button.setAttribute("aria-pressed", "false");
    button.dataset.score = score;
    button.addEventListener("click", (e) => answer(score, e.pointerType === "touch" ? "touch" : e.detail === 0 ? "key" : "mouse"));
    return button;
  });
  const scale = make("div", { className: "scale" }, ...buttons);
  scale.setAttribute("role", "group");
  scale.setAttribute("aria-labelledby", "question");
  if (buttons.length > 5) scale.classList.add("many");
  return scale;
}

const press = (score) => document.querySelectorAll("[data-score]").forEach((b) => b.setAttribute("aria-pressed", String(Number(b.dataset.score) === score)));

function heading(item, old, practice) {
  if (isExample(item)) return say(item.task === "anchor_low" ? "example_low" : "example_high", { grade: item.grade, label: inSentence(gradeLabel(item.grade)) });
  if (item.task === "attention") return say("attention", { grade: `${item.wanted} (${gradeLabel(item.wanted)})` });
  const question = say(item.other ? "question_pair" : "question");
  if (old) return say("correcting", { answer: named(old.score) });
  return practice ? `${say("practice_mark")} ${question}` : question;
}

const named = (score) => (here.session.method === "pair" ? inSentence(gradeLabel(score, here.current?.layout)) : `${score} (${inSentence(gradeLabel(score))})`);

// What practice says: whether the answer fits, and if not, what most people see.
function feedback(practice, score, layout) {
  const label = (value) => (here.session.method === "pair" ? inSentence(gradeLabel(value, layout)) : `${value} (${inSentence(gradeLabel(value))})`);
  const fits = score >= practice.low && score <= practice.high;
  const usual = practice.low === practice.high || practice.low === here.session.scores[0] ? practice.low : practice.high;
  return { fits, text: say(here.session.method === "pair" ? (fits ? "practice_fits_pair" : "practice_other_pair") : fits ? "practice_fits" : "practice_other", { answer: label(score), usual: label(usual) }) };
}

function footOf({ old, practice, canCorrect, undo, keep }) {
  const low = here.session.scores[0], high = here.session.scores.at(-1);
  const foot = make("div", { className: "foot" });
  if (!practice && !old) foot.append(make("span", { className: "hint", textContent: say("keys_hint", { low, high }) }));
  if (canCorrect) foot.append(make("button", { type: "button", className: "plain", textContent: say("back"), onclick: undo }));
  if (old) foot.append(make("button", { type: "button", className: "plain", textContent: say("keep"), onclick: keep }));
  return foot;
}

// --- showing it -----------------------------------------------------------------------------------------------------------------------

// Resolves to "next", "back" (the item before is to be corrected), "keep" (the old answer stays), "left" or "resync"; of practice to {fits}.
// old: the answer that is corrected; practice: the grades that fit.
export async function showItem(item, { old = null, practice = null } = {}) {
  for (;;) {
    await unpinched();
    const loaded = await load([item.image, item.other].filter(Boolean));
    if (here.pending.left) return "left";
    if (!loaded) return "resync";
    const pictures = loaded.map((l) => Object.assign(l.image.cloneNode(), { alt: say("image_alt") }));
    await Promise.all(pictures.map((p) => p.decode()));
    const result = await shown(item, loaded, pictures, old, practice);
    if (result === "too small") await untilItFits();
    else if (result !== "again") return result;
  }
}

function shown(item, loaded, pictures, old, practice) {
  const label = practice ? say("practice_title") : progress(item).label;
  if (practice) $("count").textContent = label;
  const example = isExample(item);
  return new Promise((resolve) => {
    const stage = make("div", { className: "stage" }, ...pictures);
    const verified = loaded.length ? loaded.every((l) => l.verified === true) || null : null;
    const state = { item, stage, pictures, onset: 0, hidden: 0, revision: old?.revision ?? 0, timer: 0, k: 1, layout: "row", example, old, loaded_ms: Math.max(0, ...loaded.map((l) => l.ms)), verified };
    const finish = (what) => {
      clearTimeout(state.timer);
      if (state.final) here.queue.add(item.position, state.final);
      if (here.current === state) here.current = null;
      resolve(what);
    };
    const answer = (score, input) => {
      // Before the image is painted nothing counts; a second click on an example, or the same grade again, says nothing new.
      if (!state.onset || state.over || (state.timer && (example || state.last === score))) return;
      if (practice) { practised(state, score, practice, finish); return; }
      if (old && old.score === score && !state.timer) { finish("keep"); return; }
      state.last = score;
      const now = performance.now();
      const answerOf = { score, revision: state.revision, input, rt_ms: round(now - state.onset), shown: facts(state, now) };
      // A finished rater's answers are not changed any more: the very last one waits until it has settled.
      const last = item.position === here.session.items.length;
      if (!last) state.revision += 1;
      if (last) state.final = answerOf;
      else here.queue.add(item.position, answerOf);
      if (!example) answered.set(item.position, { score, revision: last ? 1 : state.revision });
      $("live").textContent = example ? "" : `${score} ${gradeLabel(score, state.layout)}`;
      press(score);
      clearTimeout(state.timer);
      state.timer = setTimeout(() => finish("next"), example ? 0 : SETTLE);
    };
    const previous = here.session.items[item.position - 2];
    const canCorrect = !old && !practice && previous && !isExample(previous) && answered.has(previous.position);
    const undo = () => { if (canCorrect && !state.timer) finish("back"); };
    const keep = () => { if (old && !state.timer) finish("keep"); };
    state.scale = scaleOf(answer);
    const foot = footOf({ old, practice, canCorrect, undo, keep });
    if (example) {
      // The scale keeps its room, so that examples are as large as the images to rate.
      state.scale.inert = true;
      state.scale.querySelectorAll("button").forEach((b) => delete b.dataset.score);
      state.scale.classList.add("unused");
      const button = make("button", { type: "button", className: "big", textContent: say("continue"), disabled: true, onclick: (e) => answer(null, e.detail === 0 ? "key" : "mouse") });
      button.dataset.go = "";
      foot.replaceChildren(button);
    }
    show("view", make("h1", { id: "question", textContent: heading(item, old, practice) }), ...(pictures.length ? [stage] : []), state.scale, foot);
    $("live").textContent = label;
    here.current = Object.assign(state, { answer, undo, keep, finish, foot });
    begin(state);
  });
}

async function begin(state) {
  if (!size(state)) { state.finish("too small"); return; }
  if (await tooSmall(state)) { state.finish("again"); return; }
  state.stage.classList.add("on");
  if (state.old) { press(state.old.score); $("question").textContent = heading(state.item, state.old, null); } // the words for "left" depend on the layout
  const onset = await painted();
  if (here.current !== state) return;
  state.onset = onset;
  state.shownAt = new Date().toISOString();
  if (document.hidden) state.hiddenSince = onset;
  document.querySelectorAll(".scale:not(.unused) button, [data-go]").forEach((b) => { b.disabled = false; });
  if (state.example) document.querySelector("[data-go]").focus();
}

function practised(state, score, practice, finish) {
  state.over = true;
  press(score);
  const said = feedback(practice, score, state.layout);
  // In place of the question, so that the image stays where it is.
  $("question").textContent = said.fits ? `✓ ${said.text}` : said.text;
  $("live").textContent = said.text;
  const button = make("button", { type: "button", className: "big", textContent: say("continue"), onclick: () => finish({ fits: said.fits }) });
  state.foot.replaceChildren(button);
  state.scale.querySelectorAll("button").forEach((b) => { b.disabled = true; });
  button.focus();
}

function facts(state, now) {
  const hidden = state.hidden + (state.hiddenSince ? now - state.hiddenSince : 0);
  const layout = state.pictures.length > 1 ? { layout: state.layout } : {};
  return { ...screenFacts(state.pictures, state.k), ...layout, shown: state.shownAt, loaded_ms: round(state.loaded_ms), hidden_ms: round(hidden), verified: state.verified };
}
