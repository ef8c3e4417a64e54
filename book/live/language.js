// needs: transformer.js decoding.js
// Let the language model write: the distribution of the next character, the knobs that change it, and draws from it.
"use strict";

(() => {
  const { languageModel, nextProbabilities, generator, draw } = courseNN;
  const SHOWN = 12; // characters in the chart
  const RUN = 100; // characters of one run

  /** A character as it is shown. */
  const visible = (character) => ({ " ": "␣", "\n": "↵" })[character] ?? character;
  const spoken = (character) => ({ " ": "space", "\n": "new line" })[character] ?? character;

  const percent = (value) => (value === 0 ? "out" : value < 0.001 ? "< 0.1 %" : `${(100 * value).toFixed(1)} %`);

  /** The logits of the character after a text, of which the model sees the end only. */
  function nextLogits({ about, weights }, ids) {
    const seen = ids.slice(-about.max_length);
    const logits = languageModel(seen, weights, about);
    return logits.data.subarray((seen.length - 1) * logits.shape[1]);
  }
  courseNN.nextLogits = nextLogits;

  courseLive.demo("language", (stage, models, say) => {
    const { make } = courseLive;
    const model = models.language;
    const { characters, prompt: firstPrompt } = model.about;
    const idOf = new Map(characters.map((character, id) => [character, id]));
    let prompt = []; // ids
    let written = []; // ids
    let logits = null;
    let chance = null;
    let timer = 0;

    const promptBox = make("input", { type: "text", size: "40", autocomplete: "off", spellcheck: "false", value: firstPrompt });
    const seed = make("input", { type: "number", min: "0", max: "9999", value: "0" });
    const temperature = slider({ min: 0.1, max: 2, step: 0.05, value: 1 }, (value) => value.toFixed(2));
    const topK = slider({ min: 1, max: characters.length, step: 1, value: characters.length }, (value) =>
      value === characters.length ? "all" : String(value),
    );
    const topP = slider({ min: 0.05, max: 1, step: 0.05, value: 1 }, (value) => (value === 1 ? "all" : value.toFixed(2)));
    const text = make("p", { class: "write-text", lang: "en", "aria-label": "Text" });
    const chart = make("div", { class: "write-chart" });
    const summary = make("p", { class: "live-note live-number" });
    const one = button("Draw one character", () => step());
    const many = button(`Write ${RUN} more`, () => (timer ? stop() : runOn()));
    const again = button("Back to the prompt", () => restart());
    stage.append(
      make("div", { class: "live-controls" }, make("label", {}, "Prompt", promptBox), make("label", {}, "Seed", seed)),
      make(
        "div",
        { class: "live-controls" },
        labelled("Temperature", temperature),
        labelled("Top-k", topK),
        labelled("Top-p", topP),
      ),
      make("div", { class: "live-controls" }, one, many, again),
      text,
      summary,
      chart,
    );
    promptBox.addEventListener("input", restart);
    seed.addEventListener("input", restart);
    for (const part of [temperature, topK, topP]) part.input.addEventListener("input", show);
    restart();

    function slider(range, format) {
      const input = make("input", { type: "range", ...range });
      const output = make("output", {}, format(range.value));
      input.addEventListener("input", () => (output.textContent = format(input.valueAsNumber)));
      return { input, output };
    }

    function labelled(name, { input, output }) {
      return make("label", {}, name, input, output);
    }

    function button(name, act) {
      return make("button", { type: "button", class: "live-button", onclick: act }, name);
    }

    function restart() {
      stop();
      const unknown = [...new Set([...promptBox.value].filter((character) => !idOf.has(character)))];
      prompt = [...promptBox.value].filter((character) => idOf.has(character)).map((character) => idOf.get(character));
      if (prompt.length === 0) prompt = [idOf.get("\n")]; // a new line: the beginning of a paragraph
      written = [];
      chance = generator(seed.valueAsNumber || 0);
      say(unknown.length ? `The model knows no ${unknown.join(" ")}: left out.` : "");
      read();
    }

    /** Let the model read the text, and show what it expects next. */
    function read() {
      logits = nextLogits(model, [...prompt, ...written]);
      show();
    }

    function settings() {
      const [heat, count, share] = [temperature, topK, topP].map(({ input }) => input.valueAsNumber);
      return { temperature: heat, topK: count, topP: share };
    }

    function step(id = draw(nextProbabilities(logits, settings()), chance)) {
      written.push(id);
      read();
    }

    /** Write on, one character between two frames, so that the page stays alive. */
    function runOn() {
      let left = RUN;
      many.textContent = "Stop";
      const next = () => {
        step();
        left -= 1;
        if (left === 0) {
          stop();
          say(`${RUN} characters written.`);
        } else timer = setTimeout(next, 0);
      };
      timer = setTimeout(next, 0);
    }

    function stop() {
      clearTimeout(timer);
      timer = 0;
      many.textContent = `Write ${RUN} more`;
    }

    function show() {
      const believed = nextProbabilities(logits);
      const drawn = nextProbabilities(logits, settings());
      const order = Array.from(believed.keys()).sort((a, b) => believed[b] - believed[a]);
      const kept = drawn.filter((value) => value > 0).length;
      const entropy = drawn.reduce((sum, p) => (p > 0 ? sum - p * Math.log(p) : sum), 0);
      const rest = order.slice(SHOWN).reduce((sum, id) => sum + drawn[id], 0);
      const inWords = (ids) => ids.map((id) => characters[id]).join("");
      text.replaceChildren(make("span", { class: "write-prompt" }, inWords(prompt)), inWords(written));
      summary.textContent =
        `${kept} of ${characters.length} characters can come next; the choice is as open as one among ` +
        `${Math.exp(entropy).toFixed(1)} equally likely ones. Bars: the probability to be drawn, the lines in them: what the ` +
        `model gives without the knobs. All characters but these ${SHOWN} together: ${percent(rest)}.`;
      const largest = Math.max(drawn[order[0]], believed[order[0]]);
      chart.replaceChildren(
        make("ul", { class: "live-bars" }, ...order.slice(0, SHOWN).map((id) => row(id, believed[id], drawn[id], largest))),
      );
    }

    /** A character as a button that appends it, its probability after the knobs as a bar, and the model's own as a line. */
    function row(id, own, now, largest) {
      const character = characters[id];
      const name = button(visible(character), () => {
        stop();
        step(id);
      });
      name.setAttribute("aria-label", `append ${spoken(character)}`);
      const bar = make(
        "span",
        { class: "live-bar" },
        make("span", { style: `width: ${((100 * now) / largest).toFixed(1)}%` }),
        make("i", { style: `left: ${((100 * own) / largest).toFixed(1)}%` }),
      );
      return make("li", now === 0 ? { class: "is-out" } : {}, name, bar, percent(now));
    }
  });
})();
