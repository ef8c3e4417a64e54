// Watch noise become a digit: class, network, steps, solver and guidance are the reader's, and so is the time.
// needs: decoding.js pictures.js flow.js
"use strict";

courseLive.demo("flow-digits", (stage, models, say, fetchModel) => {
  const { make } = courseLive;
  const { canvas, paint, GREY } = window.coursePictures;
  const flow = window.courseFlow;
  const LOOK = { low: -1, high: 1, stops: GREY };
  const SHOWN = 9; // pictures of the path, at most
  const SLICE = 12; // milliseconds of work after which the page is given a turn

  const chosen = { model: "flow-digits", label: 3, steps: 16, solver: "euler", weight: 1 };
  let seed = 1;
  let path = []; // {x, t, v} at each step
  let turn = 0; // which request is the latest

  // ---- what is computed ------------------------------------------------------------------------------------------

  /** Noise (1, 1, 8, 8) from a seed: pairs of uniform numbers made normal (Box and Muller, 1958). */
  function drawNoise() {
    const chance = courseNN.generator(seed);
    const normal = () => Math.sqrt(-2 * Math.log(1 - chance())) * Math.cos(2 * Math.PI * chance());
    return courseNN.tensor([1, 1, 8, 8], Array.from({ length: 64 }, normal));
  }

  /** The whole path. The page stays alive meanwhile, and a newer request ends this one. */
  async function compute() {
    const mine = ++turn;
    const { weights, about } = models[chosen.model] ?? (await load(chosen.model));
    if (mine !== turn) return;
    guidance.disabled = !about.guidance;
    const weight = about.guidance ? chosen.weight : 1;
    weightText.textContent = `w = ${weight}${weight === 1 ? ", none" : ""}`;
    unguided.hidden = about.guidance;
    const velocity = flow.guided(flow.networks[about.network], weights, chosen.label, weight);
    const found = [];
    const begin = performance.now();
    let pause = begin;
    for (const place of flow.follow(velocity, drawNoise(), chosen.steps, chosen.solver)) {
      found.push(place);
      if (performance.now() - pause < SLICE) continue;
      await new Promise(requestAnimationFrame);
      if (mine !== turn) return;
      pause = performance.now();
    }
    const milliseconds = performance.now() - begin;
    path = found;
    const asked = chosen.steps * (chosen.solver === "heun" ? 2 : 1) * (weight === 1 ? 1 : 2);
    const bend = flow.straightness(path.map(({ x }) => x));
    showPath();
    const counted = (number, thing) => `${number} ${thing}${number === 1 ? "" : "s"}`;
    say(
      `A ${chosen.label} in ${counted(chosen.steps, "step")}: ${counted(asked, "question")} to the network, ` +
        `${Math.max(1, milliseconds).toFixed(0)} ms. Straightness S = ${bend.toFixed(3)}.`,
    );
  }

  async function load(name) {
    say("Loading the network …");
    return fetchModel(name);
  }

  // ---- the parts of the page -------------------------------------------------------------------------------------

  const here = canvas("");
  const ahead = canvas("");
  const hereText = make("span", { class: "live-caption" });
  const strip = make("div", { class: "live-strip" });
  const slider = make("input", { type: "range", min: 0, max: 1, "aria-label": "Time", oninput: () => showTime() });
  const timeText = make("span", { class: "live-number" });
  const weightText = make("span", { class: "live-number" });
  const guidance = make("input", {
    type: "range",
    min: 0,
    max: 6,
    step: 0.5,
    value: chosen.weight,
    oninput: () => change("weight", Number(guidance.value)),
  });
  const unguided = make(
    "p",
    { class: "live-note" },
    "After reflow there is no guidance: the second flow was always told the class, and has learned no velocity without.",
  );

  const option = (value, text) => make("option", { value }, text);
  function chooser(name, label, options) {
    const read = () => (name === "steps" ? Number(select.value) : select.value);
    const select = make("select", { onchange: () => change(name, read()) }, ...options);
    select.value = chosen[name];
    return make("label", {}, label, select);
  }
  const digits = Array.from({ length: 10 }, (_, label) => {
    const onchange = () => change("label", label);
    const radio = make("input", { type: "radio", name: "flow-digits-class", value: label, onchange });
    radio.checked = label === chosen.label;
    return make("label", {}, radio, String(label));
  });
  stage.append(
    make("fieldset", { class: "live-choice" }, make("legend", {}, "Class"), ...digits),
    make(
      "div",
      { class: "live-controls" },
      chooser("model", "Network ", [
        option("flow-digits", "MLP, first flow"),
        option("flow-digits-reflow", "MLP, after reflow"),
        option("flow-digits-unet", "U-Net, short training"),
        option("flow-digits-dit", "transformer, short training"),
      ]),
      chooser("solver", "Solver ", [option("euler", "Euler"), option("heun", "Heun")]),
      chooser("steps", "Steps ", [1, 2, 4, 8, 16, 32].map((count) => option(count, String(count)))),
      make("label", {}, "Guidance ", guidance, weightText),
    ),
    unguided,
    make(
      "div",
      { class: "live-controls" },
      make("button", { type: "button", class: "live-button", onclick: () => play() }, "Play"),
      make("button", { type: "button", class: "live-button", onclick: () => change("seed", ++seed) }, "New noise"),
    ),
    make(
      "div",
      { class: "live-columns" },
      make("div", { class: "live-captioned is-large" }, hereText, here),
      make(
        "div",
        { class: "live-captioned is-large" },
        make("span", { class: "live-caption" }, "its arrow leads to"),
        ahead,
      ),
    ),
    make("label", { class: "live-time" }, "Time ", slider, timeText),
    strip,
  );

  // ---- what is shown ---------------------------------------------------------------------------------------------

  const inWords = (t) => `t = ${t.toFixed(2)}`;

  /** The image at the slider's time, and where a straight line would end from there: x + (1 - t) v. */
  function showTime() {
    const { x, t, v } = path[Number(slider.value)];
    paint(here, x.data, LOOK);
    paint(ahead, (v ? flow.walk(x, v, 1 - t) : x).data, LOOK);
    hereText.textContent = `image at ${inWords(t)}`;
    here.setAttribute("aria-label", `The image at ${inWords(t)}, on its way from noise to a ${chosen.label}.`);
    ahead.setAttribute("aria-label", "Where a straight line along the velocity would end.");
    timeText.textContent = inWords(t);
    slider.setAttribute("aria-valuetext", inWords(t));
    const distance = (picture) => Math.abs(picture.dataset.step - slider.value);
    const nearest = [...strip.children].reduce((best, picture) => (distance(picture) < distance(best) ? picture : best));
    for (const picture of strip.children) picture.classList.toggle("is-here", picture === nearest);
  }

  /** The path as a row of pictures; the slider stays at its time. */
  function showPath() {
    const share = slider.value / slider.max;
    slider.max = path.length - 1;
    slider.value = Math.round(share * (path.length - 1));
    const every = Math.max(1, (path.length - 1) / (SHOWN - 1));
    const numbers = Array.from({ length: Math.min(SHOWN, path.length) }, (_, i) => Math.round(i * every));
    strip.replaceChildren(
      ...numbers.map((number) => {
        const picture = canvas(inWords(path[number].t), 48);
        picture.dataset.step = number;
        paint(picture, path[number].x.data, LOOK);
        return picture;
      }),
    );
    showTime();
  }

  /** From noise to digit in two seconds; those who asked for less motion get the end. */
  let playing = 0;
  function play() {
    const mine = ++playing;
    const begin = performance.now();
    const still = matchMedia("(prefers-reduced-motion: reduce)").matches;
    const frame = (now) => {
      if (mine !== playing) return;
      const share = still ? 1 : Math.min(1, Math.max(0, now - begin) / 2000);
      slider.value = Math.round(share * slider.max);
      showTime();
      if (share < 1) requestAnimationFrame(frame);
    };
    frame(begin);
  }
  slider.addEventListener("pointerdown", () => playing++); // the reader's hand goes first
  slider.addEventListener("keydown", () => playing++);

  function change(name, value) {
    chosen[name] = value;
    return compute().catch((error) => say(`This could not be computed: ${error.message}. The last path is still shown.`));
  }

  slider.value = 1;
  return compute().then(play);
});
