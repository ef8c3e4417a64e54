// Figures that a reader changes: each is a still in the page, which the code that drew it draws anew when a control moves.
// This file holds what they share; each figure stands in a file of its own. The build draws the stills with the same code.
"use strict";

const courseFigures = (() => {
  const COLOURS = { blue: "#0b94d9", orange: "#bf7c30", violet: "#7e39e5", green: "#1d7356", pink: "#f23d9d" };
  const SHADES = [
    [244, 248, 252],
    [111, 183, 228],
    [11, 90, 148],
    [6, 36, 63],
  ];
  const figures = {};

  // Arithmetic

  /** Weights of a row of scores; a score of −∞ gets 0, and a row with nothing else zeros. */
  function softmax(scores) {
    const largest = Math.max(...scores);
    if (largest === -Infinity) return scores.map(() => 0);
    const powers = scores.map((score) => Math.exp(score - largest));
    const sum = powers.reduce((a, b) => a + b, 0);
    return powers.map((power) => power / sum);
  }

  const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);

  // Drawing: each function gives a piece of SVG as text

  const escape = (words) => String(words).replace(/[&<>"]/g, (letter) => `&#${letter.charCodeAt(0)};`);

  /** An element; numbers are rounded to hundredths, and attributes that are undefined left out. */
  function tag(name, attributes, content = "") {
    const written = Object.entries(attributes)
      .filter(([, value]) => value !== undefined)
      .map(([key, value]) => ` ${key}="${typeof value === "number" ? Math.round(100 * value) / 100 : escape(value)}"`);
    return `<${name}${written.join("")}>${content}</${name}>`;
  }

  /** Words with their middle at x and their line at y. */
  function write(x, y, words, options = {}) {
    const shown = { "text-anchor": "middle", "font-size": 10.5, fill: "currentColor", ...options };
    return tag("text", { x, y, ...shown }, escape(words));
  }

  /** The colour of a share between 0 (lightest) and 1, and the colour of letters that can be read on it. */
  function shade(share) {
    const place = Math.min(Math.max(share, 0), 1) * (SHADES.length - 1);
    const k = Math.min(Math.floor(place), SHADES.length - 2);
    const fill = SHADES[k].map((from, i) => Math.round(from + (place - k) * (SHADES[k + 1][i] - from)));
    const linear = fill.map((c) => (c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4));
    // where black and white stand out equally, the luminance is 0.179
    return { fill: `rgb(${fill})`, ink: dot(linear, [0.2126, 0.7152, 0.0722]) > 0.179 ? "#000000" : "#ffffff" };
  }

  /** A square of a table: its number on a shade, or an empty frame where `share` is null. */
  function cell(x, y, size, share, label, { value, frame } = {}) {
    const { fill, ink } = share === null ? { fill: "none", ink: "currentColor" } : shade(share);
    const edge = { fill, stroke: "currentColor", "stroke-opacity": share === null ? 0.35 : 0 };
    const parts = [
      tag("rect", { x: x + 0.5, y: y + 0.5, width: size - 1, height: size - 1, ...edge }),
      write(x + size / 2, y + size / 2 + 3.5, label, { fill: ink, "font-size": 9.5 }),
    ];
    if (frame) {
      const inside = { x: x + 1.5, y: y + 1.5, width: size - 3, height: size - 3, fill: "none" };
      parts.push(tag("rect", { ...inside, stroke: COLOURS[frame], "stroke-width": 2.4 }));
    }
    return tag("g", value === undefined ? {} : { "data-value": value.toFixed(6) }, parts.join(""));
  }

  // Controls: each stands in an element, and `refresh` makes it show the state

  function make(name, attributes, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    element.append(...children);
    return element;
  }

  /** {kind: "slider", name, label, values, show}: one of the values. */
  function makeSlider({ name, label, values, show = String }, state, changed) {
    const input = make("input", { type: "range", min: 0, max: values.length - 1, step: 1, "aria-label": label });
    const text = make("span", {});
    input.addEventListener("input", () => changed(name, values[Number(input.value)]));
    const refresh = () => {
      input.value = values.indexOf(state[name]);
      text.textContent = show(state[name]);
      input.setAttribute("aria-valuetext", text.textContent);
    };
    return { element: make("label", { class: "course-scrub" }, label, input, text), refresh };
  }

  /** {kind: "switch", name, label}: true or false. */
  function makeSwitch({ name, label }, state, changed) {
    const input = make("input", { type: "checkbox" });
    input.addEventListener("change", () => changed(name, input.checked));
    const refresh = () => {
      input.checked = state[name];
    };
    return { element: make("label", { class: "figure-option" }, input, label), refresh };
  }

  let groups = 0;

  /** {kind: "choice", name, label, options: [[value, label], …], hover}: one of them; by `hover` also where pointed at. */
  function makeChoice({ name, label, options, hover }, state, changed) {
    groups += 1;
    const group = `figure-choice-${groups}`;
    const inputs = options.map(([value]) => {
      const input = make("input", { type: "radio", name: group });
      input.addEventListener("change", () => changed(name, value));
      return input;
    });
    const labels = options.map(([value, words], i) => {
      const option = make("label", { class: "figure-option" }, inputs[i], words);
      if (hover) option.addEventListener("mouseenter", () => changed(name, value));
      return option;
    });
    const refresh = () => {
      for (const [i, [value]] of options.entries()) inputs[i].checked = value === state[name];
    };
    return { element: make("fieldset", {}, make("legend", {}, label), ...labels), refresh };
  }

  /** {kind: "steps", name, last}: from 0 to last(state). */
  function makeSteps({ name, last }, state, changed) {
    const buttons = ["Start again", "Back", "Next"].map((words) => make("button", { type: "button" }, words));
    const aims = [() => 0, () => Math.max(state[name] - 1, 0), () => Math.min(state[name] + 1, last(state))];
    for (const [i, button] of buttons.entries()) {
      button.addEventListener("click", () => changed(name, aims[i]()));
    }
    const refresh = () => {
      state[name] = Math.min(state[name], last(state));
      // not `disabled`: a button that has the focus must keep it
      for (const [i, button] of buttons.entries()) button.setAttribute("aria-disabled", aims[i]() === state[name]);
    };
    return { element: make("div", { class: "figure-steps" }, ...buttons), refresh };
  }

  /** {kind: "again", name, label}: counts how often it was pressed. */
  function makeAgain({ name, label }, state, changed) {
    const button = make("button", { type: "button" }, label);
    button.addEventListener("click", () => changed(name, state[name] + 1));
    return { element: make("div", { class: "figure-steps" }, button), refresh: () => {} };
  }

  const MAKERS = { slider: makeSlider, switch: makeSwitch, choice: makeChoice, steps: makeSteps, again: makeAgain };

  // Figures

  /**
   * A figure: start(data) and still(data) give the state to begin with and the one that is printed, controls(data) what
   * changes it, and draw(state, data) {width, height, body, said}: the picture, and what it shows in words. What is drawn
   * with `data-NAME` sets the state's NAME to that number when it is pointed at.
   */
  function define(name, figure) {
    figures[name] = figure;
    if (typeof document === "undefined") return;
    for (const holder of document.querySelectorAll(`[data-figure="${name}"]`)) enliven(holder, figure);
  }

  function enliven(holder, figure) {
    const data = JSON.parse(holder.dataset.values);
    const picture = holder.querySelector("svg");
    const state = figure.start(data);
    const said = make("p", { class: "figure-said", role: "status" });
    const controls = figure.controls(data).map((control) => MAKERS[control.kind](control, state, changed));

    function redraw() {
      for (const control of controls) control.refresh();
      const drawn = figure.draw(state, data);
      picture.innerHTML = drawn.body;
      said.textContent = drawn.said;
    }

    function changed(name, value) {
      if (state[name] === value) return;
      state[name] = value;
      redraw();
    }

    function point(event) {
      for (const name of figure.pointed ?? []) {
        const found = event.target.closest(`[data-${name}]`);
        if (found) changed(name, Number(found.getAttribute(`data-${name}`)));
      }
    }

    picture.addEventListener("mouseover", point);
    picture.addEventListener("click", point);
    window.addEventListener("beforeprint", () => {
      Object.assign(state, figure.still(data));
      redraw();
    });
    const panel = make("div", { class: "figure-controls" }, ...controls.map((control) => control.element), said);
    holder.insertAdjacentElement("afterend", panel);
    redraw();
  }

  /** What the build puts into the page. */
  const still = (name, data) => figures[name].draw(figures[name].still(data), data);

  return { COLOURS, softmax, dot, tag, write, cell, shade, define, figures, still };
})();
