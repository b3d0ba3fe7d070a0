// The way through a study: consent, questionnaire, screen, instructions, examples, practice, images, breaks, thanks.

import { Queue, call, pause } from "./queue.js";
import { Images, onZoom } from "./show.js";
import { $, ask, card, here, make, notice, progress, say, show, tried } from "./page.js";
import { answered, resized, showItem } from "./item.js";
import { commentForm, company, consent, instructions, practice, questionnaire } from "./steps.js";
import { checkScreen } from "./screen.js";
import { enter, language, turkForm } from "./enter.js";

const BREAK_DEAF = 700; // ms in which a break's button takes nothing: a key meant for an image must not skip it
const { pending } = here;

// --- breaks ---------------------------------------------------------------------------------------------------------------------------

async function rest(seconds) {
  const end = Date.now() + seconds * 1000;
  const text = make("p", { role: "timer" });
  here.queue.report("rest", here.queue.last, Math.round(seconds));
  for (let left = seconds * 1000, shown = false; left > 0 && !pending.left; left = end - Date.now()) {
    const s = Math.ceil(left / 1000);
    const words = say("rest", { time: `${Math.floor(s / 60)}:${String(s % 60).padStart(2, "0")}` });
    if (text.textContent !== words) text.textContent = words;
    if (!shown) { shown = true; show("grey", card(say("rest_title"), text)); }
    await pause(250);
  }
}

async function paused() {
  show("grey", card(say("paused_title"), make("p", { textContent: say("paused") })));
  while (pending.paused && !pending.left) {
    await pause(5000);
    const response = await tried(() => call(here.token, "GET", "session"));
    if (response?.ok && (await response.json()).status !== "paused") pending.paused = false;
  }
  here.queue.flush();
}

// --- the course -----------------------------------------------------------------------------------------------------------------------

// Returns early where the session must be loaded again, or another tab went on: `pending` says which.
async function course() {
  const { items, scores } = here.session;
  const isExample = (i) => i.task.startsWith("anchor");
  if (!here.session.consented) await consent();
  company();
  let position = Math.max(here.session.next, here.queue.last + 1);
  const first = items.filter(isExample).length + 1; // examples come first
  if (position <= first) await questionnaire();
  if (!(await checkScreen())) pending.left = "screened";
  if (pending.left) return;
  if (position === 1) await instructions();
  else if (position <= items.length) here.queue.report("resumed", position);
  if (here.session.rest) await rest(here.session.rest);
  let sinceBreak = 0;
  let told = position > first;
  while (position <= items.length && !pending.left) {
    const item = items[position - 1];
    here.position = position;
    here.images.ahead(items, position - 1);
    if (!told && position === first) {
      told = true;
      await practice();
      if (pending.left || pending.resync) return;
      if (position > 1 || here.session.practice.length) await ask("grey", say("instructions_title"), [make("p", { textContent: say(here.session.method === "pair" ? "instructions_end_pair" : "instructions_end", { low: scores[0], high: scores.at(-1) }) })]);
    }
    if (pending.rest) { const seconds = pending.rest; pending.rest = 0; sinceBreak = 0; await rest(seconds); }
    if (here.session.break_every && sinceBreak >= here.session.break_every) {
      sinceBreak = 0;
      here.queue.report("break", position);
      const { n, of } = progress(item);
      await ask("grey", say("break_title"), [make("p", { textContent: say("break", { n: n - 1, of }) })], { deaf: BREAK_DEAF });
    }
    if (pending.paused) await paused();
    if (pending.resync || pending.left) return;
    const what = await showItem(item);
    if (what === "left" || what === "resync") return;
    if (what === "back") {
      const corrected = await showItem(items[position - 2], { old: answered.get(position - 1) });
      if (corrected === "left" || corrected === "resync") return;
      continue;
    }
    if (!isExample(item)) sinceBreak += 1;
    position += 1;
  }
}

async function thanks() {
  progress(null);
  let done;
  let told = false;
  while (!done) {
    if (here.queue.size) {
      if (!told) { told = true; show("grey", card(say("sending"))); }
      await here.queue.flush();
    }
    const response = here.queue.size ? null : await tried(() => call(here.token, "GET", "done"));
    if (pending.left) return true;
    if (response?.ok) done = await response.json();
    else if (response?.status === 409 || response?.status === 401) return false; // something was refused: there are items left
    else await pause(1000);
  }
  here.queue.forget();
  await here.queue.sendEvents();
  company();
  $("leave").hidden = true; // a finished rater's answers stay: whom to ask is below
  const copy = make("button", { className: "plain", type: "button", textContent: say("copy") });
  copy.addEventListener("click", async () => { await navigator.clipboard?.writeText(done.code).catch(() => {}); copy.textContent = say("copied"); });
  const content = [make("p", { textContent: say("thanks") }), make("p", { className: "small", textContent: say("thanks_code") }), make("p", { className: "code" }, make("code", { textContent: done.code }), copy)];
  if (/^https?:\/\//.test(done.url)) content.push(make("a", { className: "big", href: done.url, textContent: say("thanks_link"), rel: "noreferrer" }));
  content.push(...turkForm(done.code));
  if (here.session.comment && !here.session.closed) content.push(commentForm());
  show("text", card(say("thanks_title"), ...content));
  return true;
}

// --- what happens meanwhile -----------------------------------------------------------------------------------------------------------

// Another tab or device of this rater went on: here nothing is shown, sent or asked any more.
function leftBehind(kind) {
  if (pending.left) return;
  pending.left = "elsewhere";
  here.queue.report("left behind", here.position, kind);
  here.queue.sendEvents();
  here.queue.stopped = true;
  here.current?.finish("left");
  $("leave").hidden = true;
  ask("text", say("elsewhere_title"), [make("p", { textContent: say("elsewhere") })], { label: "elsewhere_here" }).then(() => location.reload());
}

// A tab that is looked at again asks whether it is still where this rater is.
async function lookAround() {
  if (!here.current || here.current.old || here.queue.size) return;
  const { position } = here;
  const response = await tried(() => call(here.token, "GET", "session"));
  if (!response?.ok || !here.current || here.position !== position || here.queue.size) return;
  if ((await response.json()).next > position) leftBehind("seen");
}

function listen() {
  const { queue } = here;
  queue.addEventListener("change", notice);
  queue.addEventListener("stored", (e) => {
    const { stored, next, position, rest: seconds } = e.detail;
    if (seconds > 0) pending.rest = seconds;
    // A repeated sending is answered with the position after it; more than that were answered elsewhere.
    if (!stored && next > position + 1) leftBehind("answered");
    notice();
  });
  queue.addEventListener("paused", () => { pending.paused = true; });
  queue.addEventListener("refused", (e) => { if ([401, 409, 410].includes(e.detail.status)) { pending.resync = true; here.current?.finish("resync"); } });
  if ("BroadcastChannel" in globalThis) {
    const line = new BroadcastChannel(queue.key);
    line.onmessage = () => leftBehind("opened");
    line.postMessage("here");
  }
  document.addEventListener("visibilitychange", () => {
    const { current } = here;
    queue.report(document.hidden ? "hidden" : "visible", current?.item.position ?? null);
    if (!document.hidden) lookAround();
    if (!current?.onset) return;
    if (document.hidden) current.hiddenSince = performance.now();
    else if (current.hiddenSince) { current.hidden += performance.now() - current.hiddenSince; current.hiddenSince = 0; }
  });
  addEventListener("focus", lookAround);
  onZoom((kind) => {
    resized();
    queue.report(kind === "resize" ? "resize" : "zoom", here.current?.item.position ?? null, `${devicePixelRatio} ${visualViewport?.scale ?? 1} ${innerWidth}x${innerHeight}`);
  });
  addEventListener("pagehide", () => { if (here.current?.final) { queue.add(here.current.item.position, here.current.final); here.current.final = null; } });
  addEventListener("offline", () => queue.report("offline", here.current?.item.position ?? null));
  addEventListener("online", () => queue.report("online", here.current?.item.position ?? null));
  addEventListener("keydown", keys);
}

function keys(e) {
  const { current, session } = here;
  if (!current || $("leaving").open || e.ctrlKey || e.metaKey || e.altKey || e.repeat) return;
  const score = /^[0-9]$/.test(e.key) ? Number(e.key) : NaN;
  const side = { ArrowLeft: 1, ArrowUp: 1, ArrowRight: 2, ArrowDown: 2 }[e.key];
  const pointed = session.method === "pair" && (current.layout === "column") === /Up|Down/.test(e.key) ? side : undefined;
  const answer = session.scores.includes(score) ? score : pointed;
  if (!current.example && answer !== undefined) { e.preventDefault(); current.answer(answer, "key"); }
  else if (current.old && (e.key === "Escape" || e.key === "Backspace")) { e.preventDefault(); current.keep(); }
  else if (e.key === "Backspace") { e.preventDefault(); current.undo(); }
}

// --- from the beginning ---------------------------------------------------------------------------------------------------------------

async function main() {
  await language();
  const loading = setTimeout(() => show("text", make("p", { textContent: say("loading") })), 500);
  const refused = await enter();
  if (refused) {
    clearTimeout(loading);
    const content = [make("p", { textContent: say(refused.why) })];
    if (/^https?:\/\//.test(refused.url ?? "")) content.push(make("a", { className: "big", href: refused.url, textContent: say("back_to_platform"), rel: "noreferrer" }));
    return show("text", card(say("title"), ...content));
  }
  for (;;) {
    const response = await tried(() => call(here.token, "GET", "session"));
    clearTimeout(loading);
    if (response?.status === 401) {
      const why = (await response.json().catch(() => ({}))).detail;
      return show("text", card(say("closed_title"), make("p", { textContent: say(["timed_out", "returned", "screened"].includes(why) ? why : "closed") })));
    }
    if (!response?.ok) { await pause(1500); continue; }
    here.session = await response.json();
    const { session } = here;
    // Kept under the rater's name in this study, not under the token: a worker who comes back with a new one finds the answers left here.
    if (!here.queue) { here.queue = new Queue(here.token, `${session.study}:${session.rater}`); here.images = new Images(here.token); listen(); }
    pending.resync = false;
    pending.paused = session.status === "paused";
    here.queue.flush();
    if (pending.paused) await paused();
    if (session.closed && session.status !== "done") return show("text", card(say("title"), make("p", { textContent: say("ended") })));
    if (session.status !== "done") await course();
    if (pending.left) return;
    if (!pending.resync && (await thanks())) return;
  }
}

addEventListener("hashchange", () => location.reload());
main();
