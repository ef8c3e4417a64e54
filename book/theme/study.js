// Questions that can be answered in the page, and the memory that quizzes and flashcards share.
"use strict";

const courseStudy = (() => {
  const KEY = "course-study";
  const EMPTY = { version: 1, quiz: {}, cards: {} };
  const address = document.currentScript.src;
  let kept = null; // what stands where the browser keeps nothing
  let keeps = true;

  /** All that was learned here: {version, quiz: {chapter: {question: tries}}, cards: {id: schedule}}. */
  function load() {
    try {
      const found = JSON.parse(window.localStorage.getItem(KEY));
      if (found !== null) return check(found);
    } catch (error) {
      keeps = keeps && !(error instanceof DOMException);
    }
    return kept ?? structuredClone(EMPTY);
  }

  function save(state) {
    kept = state;
    try {
      window.localStorage.setItem(KEY, JSON.stringify(state));
    } catch {
      keeps = false;
    }
  }

  /** Change the memory: `change` gets it and alters it. */
  function update(change) {
    const state = load();
    change(state);
    save(state);
  }

  /** The state, or an error that says what is wrong with it. */
  function check(state) {
    const isTable = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
    if (!isTable(state) || !isTable(state.quiz) || !isTable(state.cards)) {
      throw new Error("this file does not hold what was learned here");
    }
    if (state.version !== EMPTY.version) {
      throw new Error(`this file is of version ${state.version}; this page reads version ${EMPTY.version}`);
    }
    for (const [id, card] of Object.entries(state.cards)) {
      if (!isTable(card) || Number.isNaN(Date.parse(card.due)) || !Number.isFinite(card.stability)) {
        throw new Error(`the schedule of card ${id} cannot be read`);
      }
    }
    return state;
  }

  /** Both memories in one: of each card the later review, of each question the first answer known. */
  function merge(mine, theirs) {
    const merged = structuredClone(mine);
    for (const [id, card] of Object.entries(theirs.cards)) {
      const own = merged.cards[id];
      if (!own || Date.parse(card.last_review ?? 0) > Date.parse(own.last_review ?? 0)) merged.cards[id] = card;
    }
    for (const [chapter, answers] of Object.entries(theirs.quiz)) {
      merged.quiz[chapter] = { ...answers, ...merged.quiz[chapter] };
    }
    return merged;
  }

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

  /** A radio button with its label. A formula has no name of its own: there the button is named by its source. */
  function makeOption(name, value, content) {
    const input = make("input", { type: "radio", name, value, required: "" });
    if (content.querySelector(".katex")) {
      const spoken = content.cloneNode(true);
      for (const formula of spoken.querySelectorAll(".katex")) {
        formula.replaceWith(formula.querySelector("annotation")?.textContent ?? "");
      }
      input.setAttribute("aria-label", spoken.textContent.trim());
    }
    return make("label", { class: "quiz-option" }, input, content);
  }

  /** The file beside this script, run once. */
  const loaded = {};
  function loadScript(name) {
    loaded[name] ??= new Promise((resolve, reject) => {
      const script = make("script", { src: new URL(name, address).href });
      script.onload = resolve;
      script.onerror = () => reject(new Error(`${name} could not be loaded`));
      document.head.append(script);
    });
    return loaded[name];
  }

  return { load, save, update, check, merge, make, makeOption, loadScript, keeps: () => keeps };
})();

(() => {
  const { make, makeOption, load, update } = courseStudy;

  /** Turn a question's unfolding choices into radio buttons, moving what the page already holds. */
  function enliven(question, chapter, changed) {
    const id = question.dataset.id;
    const verdict = make("div", { class: "quiz-verdict", role: "status" });
    const button = make("button", { type: "submit", class: "study-button" }, "Check");
    const fieldset = make("fieldset", {}, make("legend", {}, ...question.querySelector(".quiz-text").childNodes));
    const name = `quiz-${chapter}-${id}`;
    const whys = [];
    for (const [number, choice] of [...question.querySelectorAll(".quiz-choice")].entries()) {
      const text = make("span", {}, ...choice.querySelector("summary").childNodes);
      fieldset.append(makeOption(name, number, text));
      whys.push({ right: choice.dataset.right === "true", content: [...choice.querySelector(".quiz-why").childNodes] });
    }
    const form = make("form", { class: "quiz-form" }, fieldset, button, verdict);
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      const chosen = whys[Number(new FormData(form).get(name))];
      show(chosen);
      update((state) => {
        const answers = (state.quiz[chapter] ??= {});
        if (!answers[id]?.right) answers[id] = { right: chosen.right, tries: (answers[id]?.tries ?? 0) + 1 };
      });
      changed();
    });
    fieldset.addEventListener("change", () => verdict.replaceChildren());

    function show(chosen) {
      verdict.className = `quiz-verdict ${chosen.right ? "is-right" : "is-wrong"}`;
      verdict.replaceChildren(...chosen.content);
    }

    question.replaceChildren(form);
  }

  /** The letter of the right choice, for a page that is printed. */
  function findLetter(question) {
    const choices = [...question.querySelectorAll(".quiz-choice")];
    return "ABCDEFGH"[choices.findIndex((choice) => choice.dataset.right === "true")];
  }

  for (const quiz of document.querySelectorAll(".quiz")) {
    const chapter = quiz.dataset.chapter;
    const questions = [...quiz.querySelectorAll(".quiz-question")];
    const letters = questions.map((question, index) => `${index + 1} ${findLetter(question)}`);
    const score = make("p", { class: "quiz-score", role: "status" });
    const changed = () => {
      const answers = load().quiz[chapter] ?? {};
      const right = questions.map((question) => answers[question.dataset.id]).filter((answer) => answer?.right);
      const first = right.filter((answer) => answer.tries === 1).length;
      const said = `${right.length} of ${questions.length} answered right, ${first} at the first try.`;
      score.textContent = courseStudy.keeps() ? said : `${said} This browser will forget it with the page.`;
    };
    for (const question of questions) enliven(question, chapter, changed);
    quiz.append(score, make("p", { class: "quiz-answers" }, `Right answers: ${letters.join(", ")}.`));
    changed();
  }
})();
