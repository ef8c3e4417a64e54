// While a page is printed: light colours whatever the screen shows, answers and cards unfolded, nothing wider than paper.
"use strict";

(() => {
  const FOLDED = "details.sd-dropdown, details.cards-all, details.card-pair";
  const PAPER = 650; // CSS pixels between the margins of A4, less a little
  const SIZES = { table: 12, ".katex-display": 14 }; // CSS pixels of a letter on paper, as print.css has them
  const page = document.documentElement;
  const opened = new Set();
  let theme = null;

  /** How wide the content is now, also where it runs over its box. */
  function measure(part) {
    const pieces = part.matches("table") ? [part] : [...part.querySelectorAll(".katex-html > .base")];
    const boxes = pieces.map((piece) => piece.getBoundingClientRect());
    return Math.max(...boxes.map((box) => box.right)) - Math.min(...boxes.map((box) => box.left));
  }

  /** Say by how much each wide thing has to shrink to fit the paper. */
  function fit(article) {
    for (const [selector, size] of Object.entries(SIZES)) {
      for (const part of article.querySelectorAll(selector)) {
        part.style.removeProperty("--print-zoom");
        const width = (measure(part) * size) / parseFloat(getComputedStyle(part).fontSize);
        const room = PAPER - (article.clientWidth - part.parentElement.clientWidth);
        const number = part.parentElement.querySelector(":scope > .eqno")?.getBoundingClientRect().width ?? 0;
        if (width > room - number) part.style.setProperty("--print-zoom", ((room - number) / width).toFixed(3));
      }
    }
  }

  function prepare() {
    if (theme !== null) return;
    theme = page.dataset.theme;
    page.dataset.theme = "light";
    for (const picture of document.querySelectorAll(".course-figure img.only-light")) picture.loading = "eager";
    for (const folded of document.querySelectorAll(FOLDED)) {
      if (folded.open) continue;
      folded.open = true;
      opened.add(folded);
    }
    for (const article of document.querySelectorAll(".bd-article")) fit(article);
  }

  function restore() {
    if (theme === null) return;
    page.dataset.theme = theme;
    theme = null;
    for (const folded of opened) folded.open = false;
    opened.clear();
  }

  window.addEventListener("beforeprint", prepare);
  window.addEventListener("afterprint", restore);
})();
