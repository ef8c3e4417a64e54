// Draw a digit: what the vision transformer takes it for, and where its class token looks.
// needs: pictures.js vit.js
"use strict";

courseLive.demo("draw-digit", (stage, models, say) => {
  const { make, bars } = courseLive;
  const { canvas, paint, dot, PAPER, SEQUENTIAL } = window.coursePictures;
  const { weights, about } = models["draw-digit"];
  const ORANGE = "#bf7c30"; // the ink, over maps
  const INK = { low: -1, high: 1, stops: PAPER };
  const examples = Array.from({ length: about.labels.length }, (_, i) => courseNN.slice(weights.examples, i, i + 1));

  let strokes = []; // what was drawn: lists of points between 0 and 1
  let example = about.start; // the number of the held-out digit that is shown, or null

  // ---- the parts of the page -------------------------------------------------------------------------------------

  const pad = canvas("Drawing area. Without mouse, pen or finger, choose a digit from the list beside it.", 240);
  pad.classList.add("live-pad");
  const seen = canvas("");
  const classes = make("div", { class: "live-classes" });
  const chooser = make(
    "select",
    { onchange: () => choose(chooser.value === "" ? null : Number(chooser.value)) },
    make("option", { value: "" }, "drawn by you"),
    ...about.labels.map((label, i) => make("option", { value: i }, `a ${label}${about.misread[i] ? ", a hard one" : ""}`)),
  );
  const clear = make("button", { type: "button", class: "live-button", onclick: () => choose(null) }, "Clear");
  const looks = make("div", { class: "live-looks" });
  stage.append(
    make(
      "p",
      { class: "live-note" },
      "Draw a digit in the square, as large as you like, or choose one that the network has never seen.",
    ),
    make("div", { class: "live-controls" }, clear, make("label", {}, "Digit ", chooser)),
    make(
      "div",
      { class: "live-columns" },
      captioned(pad, "draw here"),
      captioned(seen, "what the network gets"),
      make("div", { class: "live-wide" }, make("p", { class: "live-caption" }, "what it takes it for"), classes),
    ),
    looks,
  );

  function captioned(picture, ...text) {
    return make("div", { class: "live-captioned" }, make("span", { class: "live-caption" }, ...text), picture);
  }

  // ---- what is shown of an image ---------------------------------------------------------------------------------

  const percent = (share) => `${(100 * share).toFixed(share > 0.0995 && share < 0.9995 ? 0 : 1)} %`;

  /** Show the image, and give what the network takes it for, as a sentence. */
  function show() {
    const image = example === null ? window.courseVit.toImage(strokes) : examples[example];
    paint(seen, image.data, INK);
    seen.setAttribute("aria-label", describeImage(image.data));
    if (example !== null) paint(pad, image.data, INK);
    if (example === null && strokes.length === 0) {
      classes.replaceChildren(make("p", { class: "live-note" }, "Nothing yet."));
      looks.replaceChildren();
      return "The square is empty.";
    }
    const found = window.courseVit.read(weights, image, about.heads);
    const chances = courseNN.softmax(found.logits).data;
    const best = chances.indexOf(Math.max(...chances));
    classes.replaceChildren(
      bars(Array.from(chances, (value, i) => ({ label: String(i), value, text: percent(value), dim: i !== best }))),
    );
    showLooks(found.looks, image.data);
    const reads = `The network reads a ${best} (${percent(chances[best])}).`;
    return example === null ? reads : `It is a ${about.labels[example]}. ${reads}`;
  }

  /** One map for each head of each block, and one for all of them together. */
  function showLooks(all, ink) {
    const rows = all.map((weight) => {
      const [, heads, length] = weight.shape;
      return Array.from({ length: heads }, (_, head) => classRow(weight.data, head * length * length, length));
    });
    const largest = Math.max(...rows.flat().flatMap(({ patches }) => Array.from(patches)));
    const through = window.courseVit.rollout(all);
    const whole = classRow(through.data, 0, through.shape[1]);
    looks.replaceChildren(
      make(
        "p",
        { class: "live-caption" },
        `Where the class token looks. The darkest patch has ${percent(largest)} of a head's attention; dots are the ink.`,
      ),
      ...rows.map((heads, block) =>
        make(
          "div",
          { class: "live-columns" },
          ...heads.map((row, head) => map(row, ink, largest, `Block ${block + 1}, head ${head + 1}`)),
        ),
      ),
      make(
        "p",
        { class: "live-caption" },
        "All blocks together (rollout): from where the class token's last vector comes. Dark is much for this map.",
      ),
      make("div", { class: "live-columns" }, map(whole, ink, Math.max(...whole.patches), "Rollout")),
    );
  }

  /** The class token's row of a table of weights: what it gives to itself, and to the patches. */
  function classRow(table, start, length) {
    return { itself: table[start], patches: table.subarray(start + 1, start + length) };
  }

  function map({ itself, patches }, ink, high, name) {
    const most = patches.indexOf(Math.max(...patches));
    const [row, column] = [Math.floor(most / 4) + 1, (most % 4) + 1];
    const picture = canvas(`${name}: most, ${percent(patches[most])}, on the patch in row ${row}, column ${column}.`);
    paint(picture, patches, { low: 0, high, stops: SEQUENTIAL });
    dot(picture, ink, ORANGE);
    return captioned(picture, name, make("br"), `${percent(itself)} on itself`);
  }

  /** How much ink an image holds, for those who do not see it. */
  function describeImage(pixels) {
    const inked = Array.from(pixels.keys()).filter((i) => pixels[i] > 0);
    return `8 × 8 pixels, ${inked.length || "none"} of them more than half full of ink.`;
  }

  // ---- what the reader does --------------------------------------------------------------------------------------

  /** A held-out digit, or an empty square. */
  function choose(number) {
    example = number;
    strokes = [];
    chooser.value = number ?? "";
    drawStrokes();
    say(show());
  }

  function drawStrokes() {
    const pen = pad.getContext("2d");
    pen.fillStyle = "#ffffff";
    pen.fillRect(0, 0, pad.width, pad.height);
    pen.strokeStyle = "#000000";
    pen.lineWidth = pad.width / 12;
    pen.lineCap = pen.lineJoin = "round";
    for (const stroke of strokes) {
      pen.beginPath();
      for (const [x, y] of [stroke[0], ...stroke]) pen.lineTo(x * pad.width, y * pad.height);
      pen.stroke();
    }
  }

  let drawing = false;
  let waiting = false;
  function addPoint(event) {
    const box = pad.getBoundingClientRect();
    strokes.at(-1).push([(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height]);
    if (waiting) return;
    waiting = true;
    requestAnimationFrame(() => {
      waiting = false;
      drawStrokes();
      show();
    });
  }
  pad.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    if (example !== null) choose(null);
    drawing = true;
    pad.setPointerCapture(event.pointerId);
    strokes.push([]);
    addPoint(event);
  });
  pad.addEventListener("pointermove", (event) => drawing && addPoint(event));
  for (const end of ["pointerup", "pointercancel"]) {
    pad.addEventListener(end, () => {
      if (drawing) say(show()); // said once a stroke is done, so that a screen reader is not flooded
      drawing = false;
    });
  }

  choose(example);
});
