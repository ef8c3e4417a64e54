// needs: recurrent.js transformer.js decoding.js
// Translate a sentence with several translators of the scoreboard, side by side, and see where each one looks.
"use strict";

(() => {
  const BEGIN = {
    fixed: courseNN.beginFixed,
    bahdanau: courseNN.beginBahdanau,
    luong: courseNN.beginLuong,
    transformer: courseNN.beginTransformer,
  };
  const [START, END, UNKNOWN] = [1, 2, 3]; // of both vocabularies
  const MOST_WORDS = 60;

  /** The words of a sentence as the models know them: small letters, no full stop. */
  const split = (text) => text.toLowerCase().match(/[\p{L}\p{N}]+/gu) ?? [];

  /** Words as a line: nothing between l' and its noun. */
  const join = (words) => words.join(" ").replaceAll("' ", "'");

  /** The greedy translation of ids by a model {about, weights}: {ids, steps}, as from `greedyDecode`. */
  function translate({ about, weights }, ids) {
    const begun = BEGIN[about.kind](ids, weights, about);
    return courseNN.greedyDecode(begun, { start: START, end: END, maxLength: 2 * ids.length + 5 });
  }
  courseNN.translate = translate;

  courseLive.demo("translation", (stage, models, say) => {
    const { make, shade } = courseLive;
    const { source, target, examples } = models.translation.about;
    const idOf = new Map(source.map((word, id) => [word, id]));
    const names = Object.keys(BEGIN).map((kind) => `translation-${kind}`);

    const sentence = make("input", { type: "text", size: "60", autocomplete: "off", spellcheck: "false", lang: "en" });
    const choice = make(
      "select",
      {},
      make("option", { value: "" }, "your own"),
      ...examples.map((example, i) => make("option", { value: String(i) }, example.title)),
    );
    const form = make(
      "form",
      { class: "live-controls" },
      make("label", { class: "translate-sentence" }, "English", sentence),
      make("button", { type: "submit", class: "live-button" }, "Translate"),
      make("label", {}, "Examples", choice),
    );
    const unknown = make("p", { class: "live-note" });
    const right = make("p", { class: "translate-right" });
    const results = make("div", { class: "translate-results" });
    const words = make("details", { class: "translate-words" }, make("summary", {}, "The words that the models know"));
    const known = source.slice(4).sort();
    words.append(make("p", { lang: "en" }, known.join(" · ")));
    stage.append(form, unknown, right, results, words);

    form.addEventListener("submit", (event) => {
      event.preventDefault();
      run();
    });
    sentence.addEventListener("input", () => (choice.value = ""));
    choice.addEventListener("change", () => {
      if (choice.value === "") return;
      sentence.value = examples[Number(choice.value)].source;
      run();
    });
    choice.value = "0";
    sentence.value = examples[0].source;
    run();

    function run() {
      const read = split(sentence.value);
      results.replaceChildren();
      right.textContent = unknown.textContent = "";
      if (read.length === 0 || read.length > MOST_WORDS) {
        say(read.length === 0 ? "Write an English sentence first." : `That is ${read.length} words: write ${MOST_WORDS} or fewer.`);
        return;
      }
      const missing = [...new Set(read.filter((word) => !idOf.has(word)))];
      if (missing.length) {
        unknown.textContent = `Not among the words that the models know: ${missing.join(", ")}. They read <unk> there.`;
      }
      const ids = read.map((word) => idOf.get(word) ?? UNKNOWN);
      const seen = read.map((word) => (idOf.has(word) ? word : "<unk>"));
      const example = examples.find((one) => one.source === read.join(" "));
      if (example) right.append("Right is: ", make("span", { lang: "it" }, join(example.target.split(" "))));
      const begin = performance.now();
      const translations = names.map((name) => [name, translate(models[name], ids)]);
      const milliseconds = performance.now() - begin;
      for (const [name, found] of translations) {
        const written = found.ids.map((id) => target[id]);
        results.append(card(models[name].about, seen, written, found.steps, example?.target));
      }
      const count = translations.reduce((sum, [, found]) => sum + found.steps.length, 0);
      say(`${names.length} translations, ${count} words, in ${milliseconds.toFixed(0)} ms.`);
    }

    /** One model's translation: its words as buttons that shade the source by their weights. */
    function card(about, read, written, steps, expected) {
      const box = make("section", { class: "translate-card", "aria-label": about.label });
      const verdict = expected === undefined ? "" : written.join(" ") === expected ? "right" : "not the right one";
      box.append(make("p", { class: "translate-name" }, make("strong", {}, about.label), verdict ? `, ${verdict}` : ""));
      if (!steps[0].weights) {
        box.append(make("p", { lang: "it" }, join(written)));
        box.append(make("p", { class: "live-note" }, about.note));
        return box;
      }
      const tables = about.tables; // what each row of a step's weights is
      const rows = (table) => steps.map(({ weights }) => average(weights, tables[table].rows));
      let shown = rows(0);
      const sourceWords = read.map((word) => make("span", { class: "translate-word" }, word));
      const buttons = [...written, "<end>"].slice(0, steps.length).map((word, i) => {
        const look = () => point(i);
        return make(
          "button",
          { type: "button", class: "translate-word", onclick: look, onfocus: look, onpointerenter: look },
          word,
        );
      });
      box.append(make("p", { lang: "it" }, ...spaced(buttons)), make("p", { lang: "en" }, ...spaced(sourceWords)));
      const table = make("details", {}, make("summary", {}, "All weights as a table"));
      const holder = make("div", { class: "live-scroll", tabindex: "0", role: "region", "aria-label": `Weights of ${about.label}` });
      table.append(holder);
      table.addEventListener("toggle", fill);
      if (tables.length > 1) {
        const select = make("select", {}, ...tables.map(({ title }, i) => make("option", { value: String(i) }, title)));
        select.addEventListener("change", () => {
          shown = rows(Number(select.value));
          point(current);
          fill();
        });
        box.append(make("div", { class: "live-controls" }, make("label", {}, "Attention of", select)));
      }
      box.append(table);
      let current = 0;
      point(0);
      return box;

      function point(i) {
        current = i;
        buttons.forEach((button, j) => button.setAttribute("aria-pressed", String(j === i)));
        sourceWords.forEach((word, j) => {
          shade(word, shown[i][j]);
          word.title = shown[i][j].toFixed(2);
        });
        const best = shown[i].indexOf(Math.max(...shown[i]));
        buttons[i].setAttribute("aria-description", `looks most at ${read[best]}, ${shown[i][best].toFixed(2)}`);
      }

      function fill() {
        if (!table.open) return;
        const head = make("tr", {}, make("td"), ...read.map((word) => make("th", { scope: "col" }, make("span", {}, word))));
        const body = shown.map((weights, i) =>
          make(
            "tr",
            {},
            make("th", { scope: "row" }, buttons[i].textContent),
            ...weights.map((weight) => shade(make("td", {}, weight < 0.005 ? "" : weight.toFixed(2).slice(weight > 0.995 ? 0 : 1)), weight)),
          ),
        );
        holder.replaceChildren(make("table", { class: "live-table" }, make("thead", {}, head), make("tbody", {}, ...body)));
      }
    }

    /** Elements with a space between each two, so that lines can break and words are read apart. */
    function spaced(elements) {
      return elements.flatMap((element, i) => (i ? [" ", element] : [element]));
    }

    /** The mean of some rows of weights (tables, m), as an array. */
    function average(weights, rows) {
      const width = weights.shape[1];
      return Array.from({ length: width }, (_, j) => rows.reduce((sum, row) => sum + weights.data[row * width + j], 0) / rows.length);
    }
  });
})();
