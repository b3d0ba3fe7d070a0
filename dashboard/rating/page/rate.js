// The way through a study: consent, instructions, examples, images, breaks, thanks. No framework, no build step.

import { Queue, call, pause } from "./queue.js";
import { Images, fits, fractional, onZoom, painted, place, screenFacts } from "./show.js";

const SETTLE = 350; // ms in which another key still changes the answer before the next image comes
const $ = (id) => document.getElementById(id);
let words = {};
let wording = ""; // sha256 of the texts shown: what the rater agrees to
let token = "";
let session, queue, images;
let current = null; // what the keys act on

const say = (key, values = {}) => (words[key] ?? key).trim().replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);

function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && name !== "form") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children); // strings become text nodes: nothing is ever parsed as HTML
  return node;
}

const paragraphs = (text) => text.split(/\n\s*\n/).map((part) => make("p", { textContent: part.trim() }));

function show(viewing, ...content) {
  document.body.classList.toggle("viewing", viewing);
  current = null;
  const screen = $("screen");
  screen.replaceChildren(...content);
  screen.querySelector("[data-first]")?.focus({ preventScroll: true });
  scrollTo(0, 0);
  if (!screen.contains(document.activeElement)) screen.focus({ preventScroll: true });
}

const card = (title, ...content) => make("section", { className: "text" }, make("h1", { textContent: title }), ...content);

function ask(...content) {
  return new Promise((resolve) => {
    const button = make("button", { className: "big", textContent: say("continue"), onclick: () => resolve() });
    button.dataset.first = "";
    const [title, ...rest] = content;
    show(false, card(title, ...rest, button));
  });
}

function progress(item) {
  const rated = session.items.filter((i) => !i.task.startsWith("anchor"));
  const examples = session.items.length - rated.length;
  const n = item ? item.position - examples : rated.length;
  $("bar").hidden = false;
  $("progress").setAttribute("aria-valuemax", session.items.length);
  $("progress").setAttribute("aria-valuenow", item ? item.position - 1 : session.items.length);
  $("fill").style.width = `${(100 * (item ? item.position - 1 : session.items.length)) / session.items.length}%`;
  const label = n > 0 ? say("progress", { n, of: rated.length }) : say("example", { n: item.position, of: examples });
  $("count").textContent = label;
  $("progress").setAttribute("aria-label", label);
  return { n, of: rated.length };
}

function notice() {
  const away = queue.offline && queue.size > 0;
  $("notice").hidden = !away;
  if (away) $("notice").textContent = say(current ? "offline" : "offline_stop", { n: queue.size });
}

const gradeLabel = (score) => (session.method === "pair" ? say(["left", "right", "tie"][score - 1]) : words[`grade_${score}`] ?? "");

// --- screens -------------------------------------------------------------------------------------------------------------------------

async function consent() {
  const count = session.items.filter((i) => !i.task.startsWith("anchor")).length;
  const minutes = Math.max(1, Math.round((session.items.length * 5) / 60));
  await new Promise((resolve) => {
    const box = make("input", { type: "checkbox", id: "agree" });
    const button = make("button", { className: "big", textContent: say("start"), disabled: true, onclick: () => resolve() });
    box.addEventListener("change", () => { button.disabled = !box.checked; });
    box.dataset.first = "";
    const contact = say(session.contact ? "consent_contact" : "consent_number", { contact: session.contact, rater: session.rater });
    show(false, card(say("consent_title"), ...paragraphs(say("consent", { items: count, minutes })), make("p", { className: "small", textContent: contact }),
      make("label", { className: "agree" }, box, make("span", { textContent: say("consent_agree") })), button));
  });
  while (!(await tried(() => call(token, "POST", "consent", { agreed: true, locale: document.documentElement.lang, sha256: wording })))?.ok) await pause(1500);
  session.consented = true;
}

async function instructions() {
  const values = { low: session.scores[0], high: session.scores.at(-1) };
  const anchors = session.items.filter((i) => i.task.startsWith("anchor")).length;
  const text = say(session.method === "pair" ? "instructions_pair" : "instructions", values);
  const extra = anchors ? paragraphs(say("instructions_anchors", { anchors })) : [];
  await ask(say("instructions_title"), ...paragraphs(text), ...extra);
}

async function rest(seconds) {
  const end = Date.now() + seconds * 1000;
  const text = make("p");
  show(false, card(say("rest_title"), text));
  queue.report("rest", queue.last, Math.round(seconds));
  for (let left = end - Date.now(); left > 0; left = end - Date.now()) {
    const s = Math.ceil(left / 1000);
    text.textContent = say("rest", { time: `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}` });
    await pause(250);
  }
}

async function unzoomed() {
  let told = false;
  while (session.fractional === "refuse" && fractional()) {
    if (!told) { show(false, card(say("zoom_title"), make("p", { textContent: say("zoom") }))); queue.report("fractional", null, devicePixelRatio); }
    told = true;
    await pause(300);
  }
}

async function thanks() {
  progress(null);
  document.body.classList.remove("viewing");
  let done;
  while (!done) {
    if (queue.size) show(false, card(say("sending"))), await queue.flush();
    const response = queue.size ? null : await tried(() => call(token, "GET", "done"));
    if (response?.ok) done = await response.json();
    else if (response?.status === 409) return false; // something was refused: there are items left
    else await pause(1000);
  }
  queue.forget();
  await queue.sendEvents();
  const copy = make("button", { className: "plain", textContent: say("copy") });
  copy.addEventListener("click", async () => { await navigator.clipboard?.writeText(done.code).catch(() => {}); copy.textContent = say("copied"); });
  const content = [make("p", { textContent: say("thanks") }), make("p", { className: "small", textContent: say("thanks_code") }), make("p", { className: "code" }, make("code", { textContent: done.code }), copy)];
  if (/^https?:\/\//.test(done.url)) content.push(make("a", { className: "big", href: done.url, textContent: say("thanks_link"), rel: "noreferrer" }));
  const hit = crowd();
  if (hit) content.push(turkForm(hit, done.code));
  show(false, card(say("thanks_title"), ...content));
  return true;
}

// --- an item -------------------------------------------------------------------------------------------------------------------------

function scaleButtons(answer) {
  return session.scores.map((score) => {
    const label = gradeLabel(score);
    const button = make("button", { type: "button", disabled: true }, make("b", { textContent: score }), make("span", { textContent: label }));
    button.setAttribute("aria-label", `${score} ${label}`);
    button.setAttribute("aria-pressed", "false");
    button.dataset.score = score;
    button.addEventListener("click", (e) => answer(score, e.pointerType === "touch" ? "touch" : e.detail === 0 ? "key" : "mouse"));
    return button;
  });
}

async function showItem(item, correcting) {
  await unzoomed();
  const names = [item.image, item.other].filter(Boolean);
  const loaded = [];
  for (const name of names) loaded.push(await images.get(name));
  const pictures = loaded.map((l, k) => Object.assign(l.image.cloneNode(), { alt: say(item.other ? ["image_alt_left", "image_alt_right"][k] : "image_alt") }));
  await Promise.all(pictures.map((p) => p.decode()));
  while (!fits(pictures, session.zoom)) { show(false, card(say("narrow"))); await pause(300); }
  const position = progress(item);
  const anchor = item.task.startsWith("anchor");
  const result = await new Promise((resolve) => {
    const stage = make("div", { className: "stage" }, ...pictures);
    const state = { item, stage, pictures, onset: 0, hidden: 0, revision: correcting, timer: 0, k: 1, loaded_ms: Math.max(0, ...loaded.map((l) => l.ms)), verified: loaded.length ? loaded.every((l) => l.verified === true) || null : null };
    const finish = (what) => {
      clearTimeout(state.timer);
      if (state.final) queue.add(item.position, state.final);
      resolve(what);
    };
    const answer = (score, input) => {
      // Before the image is painted nothing counts; a second click on an example, or the same grade again, says nothing new.
      if (!state.onset || (state.timer && (anchor || state.last === score))) return;
      state.last = score;
      const now = performance.now();
      const answerOf = { score, revision: state.revision, input, rt_ms: round(now - state.onset), shown: facts(state, now) };
      // A finished rater's answers are not changed any more: the very last one waits until it has settled.
      const last = item.position === session.items.length;
      if (!last) state.revision += 1;
      if (last) state.final = answerOf;
      else queue.add(item.position, answerOf);
      $("live").textContent = anchor ? "" : `${score} ${gradeLabel(score)}`;
      document.querySelectorAll("[data-score]").forEach((b) => b.setAttribute("aria-pressed", String(Number(b.dataset.score) === score)));
      clearTimeout(state.timer);
      state.timer = setTimeout(() => finish("next"), anchor ? 0 : SETTLE);
    };
    const previous = session.items[item.position - 2];
    const canCorrect = !correcting && previous && !previous.task.startsWith("anchor") && revisions.has(previous.position);
    const undo = () => { if (canCorrect && !state.timer) finish("back"); };
    const parts = [];
    if (anchor) {
      const low = item.task === "anchor_low";
      parts.push(make("h1", { textContent: say(low ? "example_low" : "example_high", { grade: item.grade, label: gradeLabel(item.grade) }) }), stage);
      const button = make("button", { className: "big", textContent: say("continue"), disabled: true, onclick: (e) => answer(null, e.detail === 0 ? "key" : "mouse") });
      button.dataset.go = "";
      parts.push(button);
    } else {
      const question = item.task === "attention" ? say("attention", { grade: `${item.wanted} (${gradeLabel(item.wanted)})` }) : say(item.other ? "question_pair" : "question");
      parts.push(make("h1", { id: "question", textContent: question }));
      if (names.length) parts.push(stage);
      const scale = make("div", { className: "scale" }, ...scaleButtons(answer));
      scale.setAttribute("role", "group");
      scale.setAttribute("aria-labelledby", "question");
      const foot = make("div", { className: "foot" }, make("span", { className: "hint", textContent: say("keys_hint", { low: session.scores[0], high: session.scores.at(-1) }) }));
      if (canCorrect) foot.append(make("button", { className: "plain", textContent: say("back"), onclick: undo }));
      parts.push(scale, foot);
    }
    show(true, ...parts);
    $("live").textContent = anchor ? $("count").textContent : say("progress", position);
    current = Object.assign(state, { answer, undo, anchor });
    begin(state);
  });
  if (result === "next") revisions.set(item.position, current?.revision ?? 1);
  current = null;
  return result;
}

async function begin(state) {
  state.k = Math.max(1, ...state.pictures.map((p) => place(p, session.zoom)));
  state.stage.classList.add("on");
  const onset = await painted();
  if (current !== state) return;
  state.onset = onset;
  state.shownAt = new Date().toISOString();
  if (document.hidden) state.hiddenSince = onset;
  document.querySelectorAll("#screen button:disabled").forEach((b) => { b.disabled = false; });
  if (state.anchor) document.querySelector("[data-go]").focus();
}

const round = (ms) => Math.max(0, Math.round(ms * 10) / 10);

function facts(state, now) {
  const hidden = state.hidden + (state.hiddenSince ? now - state.hiddenSince : 0);
  return { ...screenFacts(state.pictures, state.k), shown: state.shownAt, loaded_ms: round(state.loaded_ms), hidden_ms: round(hidden), verified: state.verified };
}

// --- the course ----------------------------------------------------------------------------------------------------------------------

const revisions = new Map(); // position -> next revision; only for items answered in this visit

async function course() {
  if (!session.consented) await consent();
  let position = Math.max(session.next, queue.last + 1);
  if (position === 1) await instructions();
  else if (position <= session.items.length) queue.report("resumed", position);
  if (session.rest) await rest(session.rest);
  let sinceBreak = 0;
  let told = session.items[position - 2] && !session.items[position - 2].task.startsWith("anchor");
  while (position <= session.items.length) {
    const item = session.items[position - 1];
    images.ahead(session.items, position - 1);
    if (!told && !item.task.startsWith("anchor")) {
      told = true;
      if (position > 1) await ask(say("instructions_title"), make("p", { textContent: say("instructions_end", { low: session.scores[0], high: session.scores.at(-1) }) }));
    }
    if (session.break_every && sinceBreak >= session.break_every && position < session.items.length) {
      sinceBreak = 0;
      queue.report("break", position);
      const { n, of } = progress(item);
      await ask(say("break_title"), make("p", { textContent: say("break", { n: n - 1, of }) }));
    }
    if (pending.rest) { const seconds = pending.rest; pending.rest = 0; await rest(seconds); }
    while (pending.paused) await paused();
    if (pending.resync) return;
    const before = revisions.get(position - 1);
    const what = await showItem(item, 0);
    if (what === "back") {
      await showItem(session.items[position - 2], before);
      continue;
    }
    if (!item.task.startsWith("anchor")) sinceBreak += 1;
    position += 1;
  }
}

const pending = { rest: 0, paused: false, resync: false };

async function paused() {
  show(false, card(say("paused_title"), make("p", { textContent: say("paused") })));
  await pause(5000);
  const response = await tried(() => call(token, "GET", "session"));
  if (response?.ok && (await response.json()).status !== "paused") { pending.paused = false; queue.flush(); }
}

async function tried(work) {
  try { return await work(); } catch { return null; }
}

function listen() {
  queue.addEventListener("change", notice);
  queue.addEventListener("stored", (e) => { if (e.detail.rest > 0) pending.rest = e.detail.rest; notice(); });
  queue.addEventListener("paused", () => { pending.paused = true; });
  queue.addEventListener("refused", (e) => { if ([401, 409, 410].includes(e.detail.status)) pending.resync = true; });
  document.addEventListener("visibilitychange", () => {
    queue.report(document.hidden ? "hidden" : "visible", current?.item.position ?? null);
    if (!current?.onset) return;
    if (document.hidden) current.hiddenSince = performance.now();
    else if (current.hiddenSince) { current.hidden += performance.now() - current.hiddenSince; current.hiddenSince = 0; }
  });
  onZoom((kind) => {
    if (current) current.k = Math.max(1, ...current.pictures.map((p) => place(p, session.zoom)));
    queue.report(kind === "resize" ? "resize" : "zoom", current?.item.position ?? null, `${devicePixelRatio} ${visualViewport?.scale ?? 1} ${innerWidth}x${innerHeight}`);
  });
  addEventListener("pagehide", () => { if (current?.final) { queue.add(current.item.position, current.final); current.final = null; } });
  addEventListener("offline", () => queue.report("offline", current?.item.position ?? null));
  addEventListener("online", () => queue.report("online", current?.item.position ?? null));
  addEventListener("keydown", (e) => {
    if (!current || e.ctrlKey || e.metaKey || e.altKey || e.repeat) return;
    const score = /^[0-9]$/.test(e.key) ? Number(e.key) : NaN;
    if (!current.anchor && session.scores.includes(score)) { e.preventDefault(); current.answer(score, "key"); }
    else if (!current.anchor && session.method === "pair" && (e.key === "ArrowLeft" || e.key === "ArrowRight")) { e.preventDefault(); current.answer(e.key === "ArrowLeft" ? 1 : 2, "key"); }
    else if (e.key === "Backspace") { e.preventDefault(); current.undo(); }
  });
}

// --- coming in -----------------------------------------------------------------------------------------------------------------------

// What MTurk needs at the end; kept by token, so that another study in the same browser does not find it.
const crowdKey = () => `facesr:crowd:${token.slice(0, 8)}`;
const crowd = () => { try { return JSON.parse(localStorage.getItem(crowdKey()) ?? "null"); } catch { return null; } };

function turkForm(hit, code) {
  const form = make("form", { method: "post", action: `${hit.submit}/mturk/externalSubmit` });
  for (const [name, value] of Object.entries({ assignmentId: hit.assignment, code })) form.append(make("input", { type: "hidden", name, value }));
  form.append(make("button", { className: "big", textContent: say("thanks_link") }));
  return form;
}

async function enter() {
  token = location.hash.slice(1);
  if (token) return null;
  const given = new URLSearchParams(location.search);
  const turk = given.get("turkSubmitTo") ?? "";
  if (given.get("assignmentId") === "ASSIGNMENT_ID_NOT_AVAILABLE") return { why: "preview" };
  const source = given.has("PROLIFIC_PID") ? "prolific" : given.has("workerId") ? "mturk" : "open";
  const worker = given.get("PROLIFIC_PID") ?? given.get("workerId") ?? "";
  const submission = given.get("SESSION_ID") ?? given.get("assignmentId") ?? "";
  for (;;) {
    const response = await tried(() => call("", "POST", "join", { source, worker, submission, device: device() }));
    const reply = response && response.status < 500 ? await response.json().catch(() => ({})) : {};
    if (response?.ok) token = reply.token;
    else if (response?.status === 409) return { why: reply.detail in words ? reply.detail : "full", url: reply.url };
    else if (response?.status === 422) return { why: reply.detail }; // an organiser's mistake, in a sentence
    else if (response?.status === 403) return { why: "invited_only" };
    else if (response?.status === 423) show(false, card(say("paused_title"), make("p", { textContent: say("paused") })));
    if (token) break;
    await pause(response?.status === 423 ? 15000 : 2000);
  }
  if (/^https:\/\/(www|workersandbox)\.mturk\.com$/.test(turk)) {
    try { localStorage.setItem(crowdKey(), JSON.stringify({ submit: turk, assignment: given.get("assignmentId") ?? "" })); } catch { /* the code can still be copied */ }
  }
  // The worker's id leaves the address bar; the personal link takes its place, so that a reload or a bookmark comes back here.
  history.replaceState(null, "", `${location.pathname}#${token}`);
  return null;
}

// A random mark of this browser, of no use outside this study: the server keeps a keyed hash, so that one person takes part once.
function device() {
  try {
    const kept = localStorage.getItem("facesr:device") ?? crypto.randomUUID?.() ?? String(Math.random()).slice(2);
    localStorage.setItem("facesr:device", kept);
    return kept;
  } catch { return ""; }
}

async function translate(locale) {
  let response;
  while (!(response = await tried(() => call("", "GET", `texts?locale=${encodeURIComponent(locale)}`)))?.ok) await pause(1000);
  const found = await response.json();
  words = found.texts;
  wording = found.sha256;
  document.documentElement.lang = found.locale;
  document.title = say("title");
  const menu = $("language");
  menu.replaceChildren(...found.languages.map((l) => make("option", { value: l, textContent: new Intl.DisplayNames([l], { type: "language" }).of(l), selected: l === found.locale })));
  $("language-label").hidden = found.languages.length < 2;
  $("bar").hidden = $("language-label").hidden;
}

async function main() {
  const kept = (() => { try { return localStorage.getItem("facesr:language"); } catch { return null; } })();
  await translate(new URLSearchParams(location.search).get("lang") ?? kept ?? navigator.language ?? "en");
  $("language").addEventListener("change", (e) => {
    try { localStorage.setItem("facesr:language", e.target.value); } catch { /* not kept */ }
    const here = new URL(location.href);
    here.searchParams.set("lang", e.target.value);
    location.replace(here);
  });
  show(false, make("p", { textContent: say("loading") }));
  const refused = await enter();
  if (refused) {
    const content = [make("p", { textContent: say(refused.why) })];
    if (/^https?:\/\//.test(refused.url ?? "")) content.push(make("a", { className: "big", href: refused.url, textContent: say("back_to_platform"), rel: "noreferrer" }));
    return show(false, card(say("title"), ...content));
  }
  for (;;) {
    const response = await tried(() => call(token, "GET", "session"));
    if (response?.status === 401) {
      const why = (await response.json().catch(() => ({}))).detail;
      return show(false, card(say("closed_title"), make("p", { textContent: say(["timed_out", "returned", "screened"].includes(why) ? why : "closed") })));
    }
    if (!response?.ok) { await pause(1500); continue; }
    session = await response.json();
    // Kept under the rater's name in this study, not under the token: a worker who comes back with a new one finds the answers left here.
    if (!queue) { queue = new Queue(token, `${session.study}:${session.rater}`); images = new Images(token); listen(); }
    pending.resync = false;
    pending.paused = session.status === "paused";
    queue.flush();
    while (pending.paused) await paused();
    if (session.closed && session.status !== "done") return show(false, card(say("title"), make("p", { textContent: say("ended") })));
    if (session.status !== "done") await course();
    if (!pending.resync && (await thanks())) return;
  }
}

addEventListener("hashchange", () => location.reload());
main();
