// The definition of a term, shown while its link is pointed at or has the keyboard's focus. Escape hides it.
"use strict";

(() => {
  const GAP = 6; // px between the word and its definition, and to the window's edge
  const tip = document.createElement("div");
  tip.id = "term-tip";
  tip.className = "term-tip";
  tip.setAttribute("role", "tooltip");
  tip.hidden = true;
  document.body.append(tip);
  let shown = null;
  let leaving = 0;

  function show(link) {
    window.clearTimeout(leaving);
    hide();
    shown = link;
    tip.textContent = link.dataset.definition;
    tip.hidden = false;
    link.setAttribute("aria-describedby", tip.id);
    const word = link.getBoundingClientRect();
    const { width, height } = tip.getBoundingClientRect();
    const room = document.documentElement.clientWidth - width - GAP;
    const below = word.bottom + GAP + height < window.innerHeight || word.top < height + GAP;
    tip.style.left = `${Math.max(GAP, Math.min(word.left, room)) + window.scrollX}px`;
    tip.style.top = `${(below ? word.bottom + GAP : word.top - GAP - height) + window.scrollY}px`;
  }

  function hide() {
    shown?.removeAttribute("aria-describedby");
    shown = null;
    tip.hidden = true;
  }

  // the pointer may go from the word to its definition without losing it
  const leave = () => {
    leaving = window.setTimeout(hide, 200);
  };
  for (const link of document.querySelectorAll("a.term")) {
    link.addEventListener("mouseenter", () => show(link));
    link.addEventListener("focus", () => show(link));
    link.addEventListener("mouseleave", leave);
    link.addEventListener("blur", hide);
  }
  tip.addEventListener("mouseenter", () => window.clearTimeout(leaving));
  tip.addEventListener("mouseleave", leave);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") hide();
  });
})();
