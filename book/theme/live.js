// Models that run in the page. Until the reader presses Start there is a picture and a button; then the model's scripts
// and weights are loaded as classic scripts, which browsers also run from a folder.
"use strict";

const courseLive = (() => {
  const demos = {}; // by name: (stage, models, say, fetchModel) => nothing, or a promise
  const models = {}; // by name: {about, weights: {name: {shape, data}}}
  const loaded = {};

  /** An element: make("p", {class: "x"}, "text", child). An attribute that begins with "on" is a listener. */
  function make(name, attributes = {}, ...children) {
    const element = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
      else element.setAttribute(key, value);
    }
    element.append(...children);
    return element;
  }

  /** Shade an element by a weight between 0 and 1, never so much that its text cannot be read. */
  function shade(element, weight) {
    element.classList.add("live-shade");
    element.style.setProperty("--weight", weight.toFixed(3));
    return element;
  }

  /** One row for each {label, value, text, dim}: a name, a bar of a value between 0 and 1, the value in words. */
  function bars(rows) {
    return make(
      "ul",
      { class: "live-bars" },
      ...rows.map(({ label, value, text, dim }) => {
        const bar = make("span", { class: "live-bar" }, make("span", { style: `width: ${(100 * value).toFixed(1)}%` }));
        return make("li", dim ? { class: "is-out" } : {}, make("span", { class: "live-bar-name" }, label), bar, text);
      }),
    );
  }

  /**
   * A demo's script says here what to do with an empty element, the models, `say`, which writes the status, and
   * `fetchModel`, which gives a promise of a further model that the page has published.
   */
  function demo(name, start) {
    demos[name] = start;
  }

  /** A file of weights hands over its model here. */
  function receive(name, header, text) {
    const numbers = readHalves(text);
    const weights = {};
    for (const [key, { shape, offset }] of Object.entries(header.tensors)) {
      const count = shape.reduce((product, size) => product * size, 1);
      weights[key] = { shape, data: numbers.subarray(offset, offset + count) };
    }
    models[name] = { about: header.about, weights };
  }

  /** Numbers from base64 of float16: two bytes each, the low one first; sign, 5 bits of exponent, 10 of fraction. */
  function readHalves(text) {
    const bytes = atob(text);
    const numbers = new Float32Array(bytes.length / 2);
    for (let i = 0; i < numbers.length; i++) {
      const half = bytes.charCodeAt(2 * i) | (bytes.charCodeAt(2 * i + 1) << 8);
      const exponent = (half >> 10) & 31;
      const fraction = half & 1023;
      const size = exponent === 0 ? fraction * 2 ** -24 : (1024 + fraction) * 2 ** (exponent - 25);
      numbers[i] = half >> 15 ? -size : size;
    }
    return numbers;
  }

  function load(address) {
    loaded[address] ??= new Promise((resolve, reject) => {
      const script = make("script", { src: address });
      script.onload = resolve;
      script.onerror = () => {
        delete loaded[address]; // so that the next press tries again
        reject(new Error(`${address} could not be loaded`));
      };
      document.head.append(script);
    });
    return loaded[address];
  }

  async function start(section, stage, say) {
    const { demo: name, folder, scripts, models: wanted } = section.dataset;
    for (const script of scripts.split(" ")) await load(`${folder}/${script}`); // each needs those before it
    await Promise.all(wanted.split(" ").map((model) => load(`${folder}/weights/${model}.js`)));
    stage.replaceChildren();
    const fetchModel = async (model) => {
      await load(`${folder}/weights/${model}.js`);
      return models[model];
    };
    await demos[name](stage, models, say, fetchModel);
  }

  for (const section of document.querySelectorAll(".live")) {
    const status = make("p", { class: "live-status", role: "status" });
    const say = (text) => (status.textContent = text);
    const stage = make("div", { class: "live-stage", tabindex: "-1" });
    const button = make("button", { type: "button", class: "live-button" }, "Start");
    const offer = make(
      "p",
      { class: "live-offer" },
      button,
      ` Runs in your browser. Loads ${section.dataset.size} of this book's own files.`,
    );
    let busy = false;
    button.addEventListener("click", async () => {
      if (busy) return;
      busy = true;
      say("Loading the model …");
      try {
        await start(section, stage, say);
        section.classList.add("is-running");
        stage.focus({ preventScroll: true });
        if (status.textContent === "Loading the model …") say("");
      } catch (error) {
        stage.replaceChildren();
        button.textContent = "Try again";
        say(`This model could not be started: ${error.message}. The picture shows what it does.`);
      }
      busy = false;
    });
    section.append(offer, stage, status);
  }

  return { demo, receive, models, make, shade, bars };
})();
