// Flashcards: review by a schedule, learn, test, match. The page's unfolding cards are the source.
"use strict";

(() => {
  const { make, makeOption, load, save, update, check, merge, loadScript } = courseStudy;
  const NEW_A_SITTING = 10;
  const QUESTIONS = 10;
  const PAIRS = 6;
  const AGAIN_WITHIN = 20 * 60 * 1000; // ms: a card that is due so soon comes again in this sitting
  const MODES = { review: "Review", learn: "Learn", test: "Test", match: "Match" };

  const shuffled = (list) => {
    const copy = [...list];
    for (let last = copy.length - 1; last > 0; last -= 1) {
      const other = Math.floor(Math.random() * (last + 1));
      [copy[last], copy[other]] = [copy[other], copy[last]];
    }
    return copy;
  };

  /** A copy of a card's side; a link inside would be a control inside a control. */
  function copyOf(nodes, { linked = true } = {}) {
    const copy = make("div", { class: "card-side" }, ...nodes.map((node) => node.cloneNode(true)));
    if (!linked) for (const link of copy.querySelectorAll("a")) link.replaceWith(...link.childNodes);
    for (const named of copy.querySelectorAll("[id]")) named.removeAttribute("id");
    return copy;
  }

  const button = (text, onclick, kind = "") => make("button", { type: "button", class: `study-button ${kind}`, onclick }, text);

  function interval(milliseconds) {
    const minutes = Math.max(1, Math.round(milliseconds / 60000));
    if (minutes < 60) return `${minutes} min`;
    const hours = Math.round(minutes / 60);
    if (hours < 24) return `${hours} h`;
    const days = Math.round(hours / 24);
    if (days < 60) return `${days} ${days === 1 ? "day" : "days"}`;
    return days < 700 ? `${Math.round(days / 30.4)} months` : `${Math.round(days / 365)} years`;
  }

  class Deck {
    constructor(element) {
      this.element = element;
      this.cards = [...element.querySelectorAll(".card-pair")].map((pair) => ({
        id: pair.dataset.id,
        chapter: pair.dataset.chapter,
        front: [...pair.querySelector("summary").childNodes],
        back: [...pair.querySelector(".card-back").childNodes],
      }));
      this.stage = make("div", { class: "cards-stage", tabindex: "-1" });
      this.buttons = Object.fromEntries(
        Object.entries(MODES).map(([mode, label]) => {
          const starter = button(label, () => this.start(mode));
          starter.setAttribute("aria-pressed", "false");
          return [mode, starter];
        }),
      );
      this.due = make("p", { class: "cards-due", role: "status" });
      const bar = make("div", { class: "cards-bar", role: "group", "aria-label": "Flashcards" });
      bar.append(...Object.values(this.buttons));
      element.prepend(bar, this.due, this.stage);
      element.querySelector(".cards-anki").parentElement.append(...this.files());
      this.count();
    }

    /** What is waiting, in words. */
    count() {
      const { cards } = load();
      const known = this.cards.filter((card) => cards[card.id]);
      const due = known.filter((card) => Date.parse(cards[card.id].due) <= Date.now()).length;
      const said = `${this.cards.length} cards: ${due} due, ${this.cards.length - known.length} new.`;
      this.due.textContent = courseStudy.keeps() ? said : `${said} This browser will forget them with the page.`;
    }

    start(mode) {
      for (const [name, starter] of Object.entries(this.buttons)) {
        starter.setAttribute("aria-pressed", String(name === mode));
      }
      this[mode]();
    }

    /** Show something, and take the keyboard there. */
    show(...parts) {
      this.stage.replaceChildren(...parts);
      (this.stage.querySelector("[autofocus]") ?? this.stage).focus({ preventScroll: true });
    }

    end(...text) {
      this.show(make("p", { role: "status" }, ...text));
      for (const starter of Object.values(this.buttons)) starter.setAttribute("aria-pressed", "false");
      this.count();
    }

    /** The front with a button that turns it; then the back with the buttons of `answers`. */
    turn(card, said, answers) {
      const reveal = button("Show the answer", () => {
        const row = make("div", { class: "cards-bar" }, ...answers());
        row.firstChild.setAttribute("autofocus", "");
        this.show(make("p", { class: "cards-said" }, said), copyOf(card.front), make("hr"), copyOf(card.back), row);
      });
      reveal.setAttribute("autofocus", "");
      this.show(make("p", { class: "cards-said" }, said), copyOf(card.front), reveal);
    }

    // Review: what is due, by the scheduler's judgement

    async review() {
      this.show(make("p", {}, "One moment."));
      try {
        await loadScript("fsrs/index.umd.js");
      } catch (error) {
        this.end(`${error.message}: the cards can still be learned, tested and matched.`);
        return;
      }
      const { fsrs, createEmptyCard, Rating } = window.FSRS;
      const scheduler = fsrs({ enable_fuzz: false });
      const { cards } = load();
      const due = this.cards.filter((card) => cards[card.id] && Date.parse(cards[card.id].due) <= Date.now());
      const fresh = this.cards.filter((card) => !cards[card.id]).slice(0, NEW_A_SITTING);
      const queue = [...due, ...fresh];
      let done = 0;
      const next = () => {
        const card = queue.shift();
        if (!card) {
          this.end(done ? `Done: ${done} ${done === 1 ? "answer" : "answers"}. ${this.until()}` : this.until());
          return;
        }
        const now = new Date();
        const held = load().cards[card.id] ?? createEmptyCard(now);
        const outcomes = scheduler.repeat(held, now);
        this.turn(card, `${queue.length + 1} to go`, () =>
          ["Again", "Hard", "Good", "Easy"].map((grade) => {
            const outcome = outcomes[Rating[grade]].card;
            return button(`${grade} · ${interval(outcome.due - now)}`, () => {
              update((state) => {
                state.cards[card.id] = outcome;
              });
              if (outcome.due - now <= AGAIN_WITHIN) queue.push(card);
              done += 1;
              next();
            });
          }),
        );
      };
      next();
    }

    /** When the next card is due. */
    until() {
      const { cards } = load();
      const times = this.cards.filter((card) => cards[card.id]).map((card) => Date.parse(cards[card.id].due));
      if (times.length < this.cards.length) return "More new cards are waiting: review again when you like.";
      return `The next card is due in ${interval(Math.min(...times) - Date.now())}.`;
    }

    // Learn: once through the deck, and again through what was not known

    learn() {
      const queue = [...this.cards];
      const next = () => {
        const card = queue.shift();
        if (!card) {
          this.end(`You knew all ${this.cards.length} cards.`);
          return;
        }
        this.turn(card, `${this.cards.length - queue.length - 1} of ${this.cards.length} known`, () => [
          button("I knew it", next),
          button("Not yet", () => {
            queue.push(card);
            next();
          }),
        ]);
      };
      next();
    }

    // Test: choose the back that belongs to the front

    test() {
      const asked = shuffled(this.cards).slice(0, QUESTIONS);
      const missed = [];
      const ask = (number) => {
        if (number === asked.length) {
          this.end(`${asked.length - missed.length} of ${asked.length} right.`);
          if (missed.length) {
            this.stage.append(make("p", {}, "Look at these again:"));
            for (const card of missed) {
              this.stage.append(make("div", { class: "card-missed" }, copyOf(card.front), copyOf(card.back)));
            }
          }
          return;
        }
        const card = asked[number];
        const near = shuffled(this.cards.filter((other) => other.chapter === card.chapter && other !== card));
        const options = shuffled([card, ...near.slice(0, 3)]);
        const verdict = make("div", { role: "status" });
        const legend = make("legend", {}, copyOf(card.front, { linked: false }));
        const fieldset = make("fieldset", {}, legend);
        for (const [index, option] of options.entries()) {
          const label = makeOption("card-test", index, copyOf(option.back, { linked: false }));
          if (index === 0) label.firstChild.setAttribute("autofocus", "");
          fieldset.append(label);
        }
        const form = make("form", { class: "quiz-form" }, fieldset, button("", () => {}, "cards-submit"), verdict);
        const submit = form.querySelector(".cards-submit");
        submit.type = "submit";
        submit.textContent = "Check";
        form.addEventListener("submit", (event) => {
          event.preventDefault();
          if (fieldset.disabled) {
            ask(number + 1);
            return;
          }
          const right = options[Number(new FormData(form).get("card-test"))] === card;
          if (!right) missed.push(card);
          fieldset.disabled = true;
          verdict.className = `quiz-verdict ${right ? "is-right" : "is-wrong"}`;
          verdict.replaceChildren(make("p", {}, make("strong", {}, right ? "Right." : "Not this one. The answer:")));
          if (!right) verdict.append(copyOf(card.back));
          submit.textContent = number + 1 < asked.length ? "Next" : "To the result";
          submit.focus();
        });
        this.show(make("p", { class: "cards-said" }, `${number + 1} of ${asked.length}`), form);
      };
      ask(0);
    }

    // Match: find the pairs

    match() {
      const chosen = shuffled(this.cards).slice(0, PAIRS);
      let picked = null;
      let tries = 0;
      let left = chosen.length;
      const said = make("p", { class: "cards-said", role: "status" }, "Choose a front, then its back.");
      const tile = (card, side) => {
        const one = make("button", { type: "button", class: "card-tile", "aria-pressed": "false" });
        one.append(copyOf(card[side], { linked: false }));
        one.addEventListener("click", () => pick(one, card, side));
        return one;
      };
      const columns = ["front", "back"].map((side) =>
        make("div", { class: "cards-column", role: "group", "aria-label": `${side}s` }, ...shuffled(chosen).map((card) => tile(card, side))),
      );
      const pick = (one, card, side) => {
        if (!picked || picked.side === side) {
          picked?.one.setAttribute("aria-pressed", "false");
          picked = { one, card, side };
          one.setAttribute("aria-pressed", "true");
          return;
        }
        tries += 1;
        picked.one.setAttribute("aria-pressed", "false");
        if (picked.card === card) {
          left -= 1;
          for (const matched of [picked.one, one]) {
            matched.disabled = true;
            matched.classList.add("is-matched");
          }
          said.textContent = `A pair. ${left} to go.`;
        } else {
          said.textContent = "Not a pair.";
        }
        picked = null;
        if (left === 0) this.end(`All ${chosen.length} pairs in ${tries} tries.`);
      };
      this.show(said, make("div", { class: "cards-board" }, ...columns));
    }

    // What was learned, as a file

    files() {
      const note = make("span", { role: "status" });
      const input = make("input", { type: "file", accept: ".json,application/json", class: "study-file" });
      input.addEventListener("change", async () => {
        const [file] = input.files;
        if (!file) return;
        try {
          const theirs = check(JSON.parse(await file.text()));
          const merged = merge(load(), theirs);
          save(merged);
          note.textContent = ` Taken in: ${Object.keys(theirs.cards).length} cards.`;
        } catch (error) {
          const reason = error instanceof SyntaxError ? "this is not a file that was exported here" : error.message;
          note.textContent = ` Nothing was changed: ${reason}.`;
        }
        input.value = "";
        this.count();
      });
      const label = make("label", { class: "study-link" }, "Import progress", input);
      const out = button("Export your progress", () => {
        const content = new Blob([JSON.stringify(load(), null, 1)], { type: "application/json" });
        const link = make("a", { href: URL.createObjectURL(content), download: "course-study.json" });
        link.click();
        URL.revokeObjectURL(link.href);
      }, "study-link");
      return [" · ", out, " · ", label, note];
    }
  }

  for (const element of document.querySelectorAll(".cards")) new Deck(element);
})();
