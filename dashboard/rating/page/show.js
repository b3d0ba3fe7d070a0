// Images at whole device pixels, loaded ahead, checked against the sha256 that the server names.

import { call, pause } from "./queue.js";

const AHEAD = 12;
const GAP = 8; // CSS pixels between the two images of a pair, at least

async function digest(bytes) {
  if (!globalThis.crypto?.subtle) return null; // plain http on another machine than this one: the browser offers no sha256
  const hash = await crypto.subtle.digest("SHA-256", bytes);
  return [...new Uint8Array(hash)].map((b) => b.toString(16).padStart(2, "0")).join("");
}

export class Images {
  constructor(token) {
    this.token = token;
    this.failing = false; // whether the latest try to load an image failed
    this.loaded = new Map(); // name -> Promise of {image, ms, verified}
  }

  get(name) {
    if (!this.loaded.has(name)) {
      const job = this.fetch(name);
      this.loaded.set(name, job);
      job.catch(() => this.loaded.delete(name));
    }
    return this.loaded.get(name);
  }

  // Tried until it is there: the connection may be away for an hour. A link that is no longer valid ends it.
  async fetch(name) {
    const began = performance.now();
    for (let attempt = 0; ; attempt++) {
      try {
        const response = await call(this.token, "GET", `stimuli/${name}`);
        if ([401, 404].includes(response.status)) throw new Error(`image ${response.status}`, { cause: "final" });
        if (!response.ok) throw new Error(`image ${response.status}`);
        const bytes = await response.arrayBuffer();
        const wanted = (response.headers.get("ETag") ?? "").replaceAll('"', "");
        const found = await digest(bytes);
        if (found !== null && found !== wanted) throw new Error("image damaged on its way");
        const image = new Image();
        image.src = URL.createObjectURL(new Blob([bytes], { type: "image/png" }));
        await image.decode();
        this.failing = false;
        return { image, ms: performance.now() - began, verified: found === null ? null : true };
      } catch (error) {
        if (error.cause === "final") throw error;
        this.failing = true;
        const online = new Promise((resolve) => addEventListener("online", resolve, { once: true }));
        await Promise.race([pause(Math.min(8000, 300 * 2 ** Math.min(attempt, 5))), online]);
      }
    }
  }

  // The next items are loaded while the current one is looked at; what is behind is let go, except the last (for corrections).
  ahead(items, index) {
    const near = new Set();
    for (const item of items.slice(Math.max(0, index - 1), index + AHEAD)) for (const name of [item.image, item.other]) if (name) near.add(name);
    for (const name of near) this.get(name).catch(() => {});
    for (const [name, job] of this.loaded) {
      if (!near.has(name)) {
        this.loaded.delete(name);
        job.then(({ image }) => URL.revokeObjectURL(image.src)).catch(() => {});
      }
    }
  }
}

export const wanted = (zoom) => Math.max(1, Math.round(zoom * (devicePixelRatio || 1)));

// Every image pixel covers k x k device pixels, k a whole number: on a screen of ratio 1.25 that is 128 * k / 1.25 CSS pixels.
// k is what the study asks for, or the largest that fits into `room` (CSS pixels); 0 where not even 1 does. Two images stand side by side,
// or one above the other where they are larger so.
export function fit(images, zoom, room) {
  const ratio = devicePixelRatio || 1;
  const widths = images.map((i) => i.naturalWidth / ratio);
  const heights = images.map((i) => i.naturalHeight / ratio);
  const sum = (list) => list.reduce((a, b) => a + b, 0);
  const gaps = GAP * (images.length - 1);
  const most = (width, height, across, down) => Math.floor(Math.min((room.width - across) / width, (room.height - down) / height) + 1e-6);
  const row = most(sum(widths), Math.max(...heights), gaps, 0);
  const column = most(Math.max(...widths), sum(heights), 0, gaps);
  const want = wanted(zoom);
  const upright = images.length > 1 && Math.min(row, want) < Math.min(column, want);
  return { k: Math.max(0, Math.min(want, upright ? column : row)), layout: upright ? "column" : "row" };
}

// The corner needs no care: browsers put a box of whole device pixels on whole device pixels. A transform would undo that, and blur.
export function place(image, k) {
  const ratio = devicePixelRatio || 1;
  image.style.width = `${(image.naturalWidth * k) / ratio}px`;
  image.style.height = `${(image.naturalHeight * k) / ratio}px`;
}

export function screenFacts(images, k) {
  return {
    dpr: devicePixelRatio || 1,
    device_pixels: k,
    css_px: images.length ? images[0].getBoundingClientRect().width : 0,
    viewport_width: innerWidth,
    viewport_height: innerHeight,
    pinch: visualViewport?.scale ?? 1,
  };
}

// A pinch zoom enlarges what was drawn already: pixels are no longer whole. (The browser's own zoom and a ratio of 1.25 or 1.5 do no harm.)
export const pinched = () => Math.abs((visualViewport?.scale ?? 1) - 1) > 0.01;

// Changes of zoom, of screen, or of pinch; a media query matches one ratio only, so a new one is made after each change.
export function onZoom(callback) {
  let query;
  const watch = () => {
    query = matchMedia(`(resolution: ${devicePixelRatio}dppx)`);
    query.addEventListener("change", () => { watch(); callback("zoom"); }, { once: true });
  };
  watch();
  visualViewport?.addEventListener("resize", () => callback("pinch"));
  addEventListener("resize", () => callback("resize"));
}

// Two animation frames after it was made visible, the image has been painted: from here the response time runs.
export const painted = () => new Promise((resolve) => requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now()))));
