// What comes before and after the images: consent, questionnaire, instructions, practice, remarks, and leaving early.

import { call, pause } from "./queue.js";
import { $, ask, card, give, here, make, paragraphs, say, show, tried } from "./page.js";
import { showItem } from "./item.js";

const SECONDS = { item: 5, practice: 8, question: 8, check: 40 }; // what the consent's estimate of time is made of

export async function consent() {
  const { items, practice, questions, screen, contact, rater } = here.session;
  const images = items.filter((i) => i.image).length + practice.length; // examples and practice are images too
  const seconds = items.length * SECONDS.item + practice.length * SECONDS.practice + questions.length * SECONDS.question + screen.length * SECONDS.check;
  await new Promise((resolve) => {
    const box = make("input", { type: "checkbox", id: "agree" });
    const button = make("button", { className: "big", type: "button", textContent: say("start"), disabled: true, onclick: () => resolve() });
    box.addEventListener("change", () => { button.disabled = !box.checked; });
    box.dataset.first = "";
    const whom = say(contact ? "consent_contact" : "consent_number", { contact, rater });
    const text = paragraphs(say("consent", { items: images, minutes: Math.max(1, Math.round(seconds / 60)) }));
    show("text", card(say("consent_title"), ...text, make("p", { className: "small", textContent: whom }),
      make("label", { className: "agree" }, box, make("span", { textContent: say("consent_agree") })), button));
  });
  const body = { agreed: true, locale: document.documentElement.lang, sha256: here.wording };
  while (!(await tried(() => call(here.token, "POST", "consent", body)))?.ok) await pause(1500);
  here.session.consented = true;
}

// After consent every page to read says whom to ask, and a button leads out.
export function company() {
  const { contact, rater } = here.session;
  $("contact").textContent = say(contact ? "contact" : "consent_number", { contact, rater });
  const button = $("leave");
  button.textContent = say("leave");
  button.hidden = false;
  button.onclick = leaving;
}

export async function instructions() {
  const { scores, items, method } = here.session;
  const anchors = items.filter((i) => i.task.startsWith("anchor")).length;
  const text = say(method === "pair" ? "instructions_pair" : "instructions", { low: scores[0], high: scores.at(-1) });
  const extra = anchors ? paragraphs(say("instructions_anchors", { anchors })) : [];
  await ask("text", say("instructions_title"), [...paragraphs(text), ...extra]);
}

// --- questionnaire --------------------------------------------------------------------------------------------------------------------

function field(question) {
  const { name, kind, values, required } = question;
  const language = document.documentElement.lang;
  const text = question.text[language] ?? Object.values(question.text)[0];
  if (kind === "text" || kind === "number") {
    const input = kind === "text" ? make("textarea", { name, rows: 2, maxLength: 2000, required }) : make("input", { name, type: "number", step: "any", required });
    if (question.low !== null) input.min = question.low;
    if (question.high !== null) input.max = question.high;
    return make("label", { className: "question" }, make("span", { className: "legend", textContent: text }), input);
  }
  const labels = question.labels[language] ?? Object.values(question.labels)[0];
  const option = (value, label, checked) => make("label", { className: "option" }, make("input", { type: kind === "choice" ? "radio" : "checkbox", name, value, checked, required: required && kind === "choice" }), make("span", { textContent: label }));
  const options = values.map((value, i) => option(value, labels[i], false));
  if (kind === "choice" && !required) options.push(option("", say("no_answer"), true));
  return make("fieldset", {}, make("legend", { textContent: text }), ...options);
}

function answersOf(form) {
  const found = {};
  for (const { name, kind } of here.session.questions) {
    const given = new FormData(form).getAll(name).filter((v) => v !== "");
    if (given.length) found[name] = kind === "choices" ? given : kind === "number" ? Number(given[0]) : given[0];
  }
  return found;
}

export async function questionnaire() {
  const { questions, steps } = here.session;
  if (!questions.length || steps.includes("questionnaire")) return;
  const free = questions.some((q) => !q.required) ? [make("p", { textContent: say("questionnaire") })] : [];
  const wrong = make("p", { className: "wrong", role: "alert" });
  const form = make("form", {}, ...questions.map(field), wrong, make("button", { className: "big", textContent: say("continue") }));
  show("text", card(say("questionnaire_title"), ...free, form));
  for (;;) {
    await new Promise((resolve) => form.addEventListener("submit", (e) => { e.preventDefault(); resolve(); }, { once: true }));
    const problem = await give("questionnaire", answersOf(form));
    if (!problem) break;
    wrong.textContent = problem;
  }
  steps.push("questionnaire");
}

// --- practice -------------------------------------------------------------------------------------------------------------------------

export async function practice() {
  const { practice: trials, steps } = here.session;
  if (!trials.length || steps.includes("practice")) return;
  await ask("grey", say("practice_title"), paragraphs(say("instructions_practice", { n: trials.length })));
  let right = 0;
  for (const trial of trials) {
    const answer = await showItem({ position: 0, task: "rate", image: trial.image, other: trial.other }, { practice: trial });
    if (typeof answer === "string") return; // another tab went on, or the session must be loaded again
    right += answer.fits ? 1 : 0;
  }
  await give("practice", { right, of: trials.length });
  steps.push("practice");
}

// --- after ----------------------------------------------------------------------------------------------------------------------------

export function commentForm() {
  const text = make("textarea", { id: "comment", rows: 4, maxLength: 4000, required: true });
  const button = make("button", { className: "plain", textContent: say("comment_send") });
  const said = make("p", { className: "small", role: "status" });
  const form = make("form", { className: "comment" }, make("label", { htmlFor: "comment", textContent: say("comment") }), text, button, said);
  form.addEventListener("submit", async (e) => {
    e.preventDefault();
    button.disabled = true;
    const problem = await give("comment", { comment: text.value });
    said.textContent = problem || say("comment_sent");
    button.disabled = false;
  });
  return form;
}

// --- leaving --------------------------------------------------------------------------------------------------------------------------

function leaving() {
  const dialog = $("leaving");
  const go = async (erase) => {
    dialog.close();
    here.queue.stopped = true;
    here.pending.left = "withdrawn";
    here.current?.finish("left");
    $("leave").hidden = true;
    show("text", card(say("sending")));
    let response;
    while (!(response = await tried(() => call(here.token, "POST", "withdraw", { erase }))) || response.status >= 500 || response.status === 429) await pause(1500);
    here.queue.forget();
    $("contact").textContent = erase ? "" : $("contact").textContent;
    const { url = "" } = await response.json().catch(() => ({}));
    const done = response.ok ? (erase ? "left_erased" : "left_kept") : "closed";
    const content = [make("p", { textContent: say(done) })];
    if (/^https?:\/\//.test(url)) content.push(make("a", { className: "big", href: url, textContent: say("back_to_platform"), rel: "noreferrer" }));
    show("text", card(say("left_title"), ...content));
  };
  const stay = make("button", { type: "button", className: "big", textContent: say("leave_stay"), onclick: () => dialog.close() });
  dialog.replaceChildren(
    make("h2", { id: "leaving-title", textContent: say("leave_title") }),
    ...paragraphs(say("leave_text")),
    make("div", { className: "choices" }, stay,
      make("button", { type: "button", className: "plain", textContent: say("leave_keep"), onclick: () => go(false) }),
      make("button", { type: "button", className: "plain", textContent: say("leave_erase"), onclick: () => go(true) })),
  );
  dialog.showModal();
  stay.focus();
}
