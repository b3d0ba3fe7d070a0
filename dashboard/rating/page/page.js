// What every screen of the page uses: the words, elements, and the one place where a screen is shown. No framework, no build step.

import { call, pause } from "./queue.js";

// What the screens share. `current` is the item that the keys act on.
export const here = {
  words: {}, wording: "", token: "", session: null, queue: null, images: null, current: null, position: 0, waiting: false,
  pending: { rest: 0, paused: false, resync: false, left: false },
};

const visit = Math.random().toString(36).slice(2, 12).padEnd(10, "0"); // marks what this visit sends
let sendings = 0;

export const $ = (id) => document.getElementById(id);

export const say = (key, values = {}) => (here.words[key] ?? key).trim().replace(/\{(\w+)\}/g, (all, name) => values[name] ?? all);

// A grade's word inside a sentence: "Excellent" becomes "excellent", "OK" stays.
export const inSentence = (label) => (/^\p{Lu}\p{Ll}/u.test(label) ? label[0].toLocaleLowerCase(document.documentElement.lang) + label.slice(1) : label);

export function make(tag, properties = {}, ...children) {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name.startsWith("on")) node.addEventListener(name.slice(2), value);
    else if (name in node && name !== "form" && name !== "list") node[name] = value;
    else node.setAttribute(name, value);
  }
  node.append(...children); // strings become text nodes: nothing is ever parsed as HTML
  return node;
}

export const paragraphs = (text) => text.split(/\n\s*\n/).map((part) => make("p", { textContent: part.trim() }));

// mode: "text" (a page to read), "grey" (to read between two images: the surround of the images stays, so that nothing flashes), "view".
export function show(mode, ...content) {
  document.body.classList.toggle("grey", mode !== "text");
  document.body.classList.toggle("viewing", mode === "view");
  here.current = null;
  $("contact").hidden = mode === "view" || !$("contact").textContent;
  const screen = $("screen");
  screen.replaceChildren(...content);
  screen.querySelector("[data-first]")?.focus({ preventScroll: true });
  scrollTo(0, 0);
  if (!screen.contains(document.activeElement) && !$("leaving").open) screen.focus({ preventScroll: true });
}

export const card = (title, ...content) => make("section", { className: "text" }, make("h1", { textContent: title }), ...content);

// A page to read with a button to go on. `deaf`: ms before the button takes anything, so that a key meant for an image does not skip a break.
export function ask(mode, title, content, { deaf = 0, label = "continue" } = {}) {
  return new Promise((resolve) => {
    const button = make("button", { className: "big", type: "button", textContent: say(label), disabled: deaf > 0, onclick: () => resolve() });
    button.dataset.first = "";
    show(mode, card(title, ...content, button));
    if (deaf) setTimeout(() => { button.disabled = false; if (button.isConnected) button.focus({ preventScroll: true }); }, deaf);
  });
}

export function progress(item) {
  const { items } = here.session;
  const rated = items.filter((i) => !i.task.startsWith("anchor"));
  const examples = items.length - rated.length;
  const n = item ? item.position - examples : rated.length;
  for (const part of ["progress", "count"]) $(part).hidden = false;
  const done = item ? item.position - 1 : items.length;
  $("progress").setAttribute("aria-valuemax", items.length);
  $("progress").setAttribute("aria-valuenow", done);
  $("fill").style.width = `${(100 * done) / items.length}%`;
  const label = n > 0 ? say("progress", { n, of: rated.length }) : say("example", { n: item.position, of: examples });
  $("count").textContent = label;
  $("progress").setAttribute("aria-label", label);
  return { n, of: rated.length, label };
}

// The banner while answers wait for a connection. Where the screen itself says so (no more images), there is no banner.
export function notice() {
  const away = here.queue.offline && here.queue.size > 0 && !here.waiting;
  $("notice").hidden = !away;
  if (away) $("notice").textContent = say("offline", { n: here.queue.size });
}

export async function tried(work) {
  try { return await work(); } catch { return null; }
}

// What is given beside ratings; tried until the server has it. Returns a sentence where the server does not take it, '' where it has.
export async function give(step, values) {
  const body = { step, mark: `${visit}-${(sendings += 1)}`, values };
  for (;;) {
    const response = await tried(() => call(here.token, "POST", "answers", body));
    if (response?.ok) return "";
    if (response && response.status < 500 && response.status !== 429) return (await response.json().catch(() => ({}))).detail ?? "refused";
    await pause(1500);
  }
}

export const kept = {
  get(name) { try { return localStorage.getItem(`facesr:${name}`); } catch { return null; } },
  set(name, value) { try { localStorage.setItem(`facesr:${name}`, value); } catch { /* private mode without storage: the page still works */ } },
};
