// Answers on their way to the server. They are written to localStorage before anything is sent, and leave it only when the server
// has said what became of them: a lost connection, a closed tab or a killed browser loses nothing. Sending twice is harmless.

export class Gone extends Error {}

export async function call(token, method, path, body, keepalive = false) {
  const headers = token ? { Authorization: `Bearer ${token}` } : {};
  if (body !== undefined) headers["Content-Type"] = "application/json";
  const response = await fetch(`../api/${path}`, {
    method, headers, keepalive, cache: "no-store", credentials: "omit", referrerPolicy: "no-referrer",
    body: body === undefined ? undefined : JSON.stringify(body),
  });
  return response;
}

export const pause = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

export class Queue extends EventTarget {
  constructor(token, name) {
    super();
    this.token = token;
    this.key = `facesr:${name}`;
    this.events = [];
    this.failures = 0;
    this.sending = false;
    this.stopped = false; // another tab or device went on: nothing is sent from here any more
    addEventListener("online", () => this.flush());
    addEventListener("pagehide", () => this.farewell());
    addEventListener("storage", (e) => { if (e.key === this.key) this.dispatchEvent(new Event("change")); });
  }

  get answers() {
    try { return JSON.parse(localStorage.getItem(this.key) ?? "[]"); } catch { return this.memory ?? []; }
  }

  set answers(list) {
    this.memory = list;
    try { localStorage.setItem(this.key, JSON.stringify(list)); } catch { /* private mode without storage: the page still works */ }
  }

  get size() { return this.answers.length; }
  get offline() { return this.failures > 0; }
  get last() { return this.answers.reduce((most, a) => Math.max(most, a.position), 0); }

  add(position, answer) {
    this.answers = [...this.answers, { position, answer }];
    this.flush();
  }

  report(kind, position, detail = "") {
    if (this.events.length < 200) this.events.push({ kind, position, detail: String(detail).slice(0, 200), at: new Date().toISOString() });
  }

  // One after the other, in order: the server takes only the current item.
  async flush() {
    if (this.stopped) return;
    if (this.sending) { this.again = true; return; }
    this.sending = true;
    try {
      do {
        this.again = false;
        while (this.size && !this.stopped) if (!(await this.sendFirst())) return;
        await this.sendEvents();
      } while (this.again);
    } finally {
      this.sending = false;
      this.dispatchEvent(new Event("change"));
    }
  }

  async sendFirst() {
    const first = this.answers[0];
    let response;
    try {
      response = await call(this.token, "PUT", `ratings/${first.position}`, first.answer);
    } catch {
      return this.later(0);
    }
    if (response.status === 429 || response.status === 423 || response.status >= 500) {
      if (response.status === 423) this.dispatchEvent(new Event("paused"));
      return this.later(Number(response.headers.get("Retry-After") ?? 0) * 1000);
    }
    this.failures = 0;
    // Another tab may have sent it meanwhile: remove this very answer, not whatever is first now.
    const same = JSON.stringify(first);
    const list = this.answers;
    const at = list.findIndex((a) => JSON.stringify(a) === same);
    if (at >= 0) this.answers = [...list.slice(0, at), ...list.slice(at + 1)];
    const reply = await response.json().catch(() => ({}));
    if (response.ok) this.dispatchEvent(new CustomEvent("stored", { detail: { ...reply, position: first.position } }));
    else this.dispatchEvent(new CustomEvent("refused", { detail: { status: response.status, why: reply.detail, position: first.position } }));
    return true;
  }

  later(least) {
    this.failures += 1;
    const wait = Math.max(least, Math.min(15000, 400 * 2 ** Math.min(this.failures, 6)) * (0.7 + 0.6 * Math.random()));
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.flush(), wait);
    this.dispatchEvent(new Event("change"));
    return false;
  }

  async sendEvents() {
    if (!this.events.length) return;
    const batch = this.events.splice(0, 200);
    try { await call(this.token, "POST", "events", { events: batch }); } catch { this.events = [...batch, ...this.events].slice(0, 200); }
  }

  // A closing page may still send a little. What does not arrive waits in localStorage for the next visit.
  farewell() {
    if (this.stopped) return;
    const [first] = this.answers;
    if (first && !this.sending) call(this.token, "PUT", `ratings/${first.position}`, first.answer, true).catch(() => {});
    if (this.events.length) call(this.token, "POST", "events", { events: this.events.splice(0, 200) }, true).catch(() => {});
  }

  forget() { try { localStorage.removeItem(this.key); } catch { /* nothing was kept */ } }
}
