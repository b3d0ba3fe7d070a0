// Coming in: the language, the personal link, or a place for a worker of a crowd; and the device's mark.

import { call, pause } from "./queue.js";
import { $, card, here, kept, make, say, show, tried } from "./page.js";

// What MTurk needs at the end; kept by token, so that another study in the same browser does not find it.
const crowdKey = () => `crowd:${here.token.slice(0, 8)}`;

export function turkForm(code) {
  const hit = (() => { try { return JSON.parse(kept.get(crowdKey()) ?? "null"); } catch { return null; } })();
  if (!hit) return [];
  const form = make("form", { method: "post", action: `${hit.submit}/mturk/externalSubmit` });
  for (const [name, value] of Object.entries({ assignmentId: hit.assignment, code })) form.append(make("input", { type: "hidden", name, value }));
  form.append(make("button", { className: "big", textContent: say("thanks_link") }));
  return [form];
}

// The token, from the link or for a place that is taken now; resolves to null, or to why there is none.
export async function enter() {
  here.token = location.hash.slice(1);
  if (here.token) return null;
  const given = new URLSearchParams(location.search);
  const turk = given.get("turkSubmitTo") ?? "";
  if (given.get("assignmentId") === "ASSIGNMENT_ID_NOT_AVAILABLE") return { why: "preview" };
  const source = given.has("PROLIFIC_PID") ? "prolific" : given.has("workerId") ? "mturk" : "open";
  const worker = given.get("PROLIFIC_PID") ?? given.get("workerId") ?? "";
  const submission = given.get("SESSION_ID") ?? given.get("assignmentId") ?? "";
  for (let told = false; ;) {
    const response = await tried(() => call("", "POST", "join", { source, worker, submission, device: device() }));
    const reply = response && response.status < 500 ? await response.json().catch(() => ({})) : {};
    if (response?.ok) here.token = reply.token;
    else if (response?.status === 409) return { why: reply.detail in here.words ? reply.detail : "full", url: reply.url };
    else if (response?.status === 422) return { why: reply.detail }; // an organiser's mistake, in a sentence
    else if (response?.status === 403) return { why: "invited_only" };
    else if (response?.status === 423 && !told) { told = true; show("text", card(say("paused_title"), make("p", { textContent: say("paused") }))); }
    if (here.token) break;
    await pause(response?.status === 423 ? 15000 : 2000);
  }
  if (/^https:\/\/(www|workersandbox)\.mturk\.com$/.test(turk)) kept.set(crowdKey(), JSON.stringify({ submit: turk, assignment: given.get("assignmentId") ?? "" }));
  // The worker's id leaves the address bar; the personal link takes its place, so that a reload or a bookmark comes back here.
  history.replaceState(null, "", `${location.pathname}#${here.token}`);
  return null;
}

// A random mark of this browser, of no use outside this study: the server keeps a keyed hash, so that one person takes part once.
function device() {
  const mark = kept.get("device") ?? crypto.randomUUID?.() ?? String(Math.random()).slice(2);
  kept.set("device", mark);
  return kept.get("device") === mark ? mark : "";
}

async function translate(locale) {
  let response;
  while (!(response = await tried(() => call("", "GET", `texts?locale=${encodeURIComponent(locale)}`)))?.ok) await pause(1000);
  const found = await response.json();
  here.words = found.texts;
  here.wording = found.sha256;
  document.documentElement.lang = found.locale;
  document.title = say("title");
  const menu = $("language");
  const named = (l) => new Intl.DisplayNames([l], { type: "language" }).of(l);
  menu.replaceChildren(...found.languages.map((l) => make("option", { value: l, textContent: named(l), selected: l === found.locale })));
  $("language-name").textContent = say("language_label");
  $("language-label").hidden = found.languages.length < 2;
}

export async function language() {
  await translate(new URLSearchParams(location.search).get("lang") ?? kept.get("language") ?? navigator.language ?? "en");
  $("language").addEventListener("change", (e) => {
    kept.set("language", e.target.value);
    const there = new URL(location.href);
    there.searchParams.set("lang", e.target.value);
    location.replace(there);
  });
}
