// Before/after slider and a pixel-exact lens over all images. Names arrive as data and are only ever set as text or attributes.
export default function ({ data, parentElement, setStateValue }) {
  const root = parentElement.querySelector(".viewer");
  // Streamlit calls this again after every change of state: what is drawn stays, and with it the keyboard's focus.
  const drawn = JSON.stringify(data);
  if (root.dataset.drawn === drawn) return;
  root.dataset.drawn = drawn;
  const size = data.size, zoom = data.zoom;
  // One image pixel covers a whole number of screen pixels, whatever the screen's ratio of device to CSS pixels.
  const ratio = () => window.devicePixelRatio || 1;
  const css = (pixels, times) => (pixels * times) / ratio();
  const at = { split: data.at[0], x: data.at[1], y: data.at[2] };
  const make = (tag, into, props = {}) => into.appendChild(Object.assign(document.createElement(tag), props));
  let told;
  const tell = () => {
    clearTimeout(told);
    told = setTimeout(() => setStateValue("at", [Math.round(at.split), Math.round(at.x), Math.round(at.y)]), 350);
  };

  const draw = () => {
    root.replaceChildren();
    const left = make("div", root);
    const times = Math.max(1, Math.floor((Math.min(384, root.clientWidth || 384) * ratio()) / size));
    const side = css(size, times);
    const pair = make("div", left, { className: "pair" });
    Object.assign(pair.style, { width: `${side}px`, height: `${side}px` });
    const both = [data.right, data.left].map((one) => {
      const img = make("img", pair, { src: one.url, alt: one.alt });
      Object.assign(img.style, { width: `${side}px`, height: `${side}px` });
      return img;
    });
    const line = make("div", pair, { className: "line" });
    make("span", pair, { className: "tag a", textContent: data.left.label });
    make("span", pair, { className: "tag b", textContent: data.right.label });
    const label = make("label", left);
    label.style.width = `${side}px`;
    make("span", label, { textContent: "Before / after" });
    const range = make("input", label, { type: "range", min: 0, max: 100, value: at.split });
    range.setAttribute("aria-label", `Before / after: share of the width that shows ${data.left.label}`);
    const split = (value) => {
      at.split = Math.min(100, Math.max(0, value));
      both[1].style.clipPath = `inset(0 ${100 - at.split}% 0 0)`;
      line.style.left = `${at.split}%`;
      range.value = at.split;
    };
    range.oninput = () => { split(Number(range.value)); tell(); };
    const drag = (event) => {
      const box = pair.getBoundingClientRect();
      split((100 * (event.clientX - box.left)) / box.width);
      tell();
    };
    pair.onpointerdown = (event) => { pair.setPointerCapture(event.pointerId); drag(event); };
    pair.onpointermove = (event) => { if (event.buttons) drag(event); };
    split(at.split);

    if (!zoom) return;
    const right = make("div", root);
    right.style.flex = "1 1 420px";
    const lenses = make("div", right, { className: "lenses" });
    const window_ = Math.min(size, Math.floor((176 * ratio()) / zoom));  // image pixels a lens shows
    const places = [];
    const look = (x, y) => {
      const most = size - window_;
      at.x = Math.min(most, Math.max(0, Math.round(x)));
      at.y = Math.min(most, Math.max(0, Math.round(y)));
      for (const place of places) place();
    };
    data.images.forEach((one) => {
      const figure = make("figure", lenses);
      const lens = make("div", figure, { className: "lens", tabIndex: 0 });
      lens.setAttribute("role", "application");
      lens.setAttribute("aria-label", `${one.alt}, enlarged ${zoom} times; arrow keys move all lenses`);
      Object.assign(lens.style, { width: `${css(window_, zoom)}px`, height: `${css(window_, zoom)}px` });
      // An image with fewer pixels (LR) is enlarged so much more that it covers the same part of the face.
      const img = make("img", lens, { src: one.url, alt: one.alt });
      Object.assign(img.style, { width: `${css(size, zoom)}px`, height: `${css(size, zoom)}px` });
      make("figcaption", figure, { textContent: one.label });
      places.push(() => { img.style.left = `${-css(at.x, zoom)}px`; img.style.top = `${-css(at.y, zoom)}px`; });
      const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
      lens.onkeydown = (event) => {
        if (!(event.key in step)) return;
        event.preventDefault();
        const far = event.shiftKey ? 8 : 1;
        look(at.x + far * step[event.key][0], at.y + far * step[event.key][1]);
        tell();
      };
      let from = null;
      lens.onpointerdown = (event) => { lens.setPointerCapture(event.pointerId); from = [event.clientX, event.clientY, at.x, at.y]; };
      lens.onpointermove = (event) => {
        if (!event.buttons || !from) return;
        look(from[2] - ((event.clientX - from[0]) * ratio()) / zoom, from[3] - ((event.clientY - from[1]) * ratio()) / zoom);
        tell();
      };
    });
    look(at.x, at.y);
    make("p", right, { textContent: `Each image pixel covers exactly ${zoom} × ${zoom} pixels of this screen. Drag, or use the arrow keys (Shift: 8 pixels).` });
  };

  draw();
  // Another screen, or the browser's zoom: whole pixels again.
  window.matchMedia(`(resolution: ${ratio()}dppx)`).addEventListener("change", () => { if (root.isConnected && root.dataset.drawn === drawn) draw(); }, { once: true });
}
