// A long page is drawn as it is read, and the rest of it, a few blocks at a time, while nothing else is to do.
"use strict";

(() => {
  const BLOCKS = ".bd-article section > :not(section, h1, h2, h3, h4, span)"; // as in course.css
  const SCROLLERS =
    "pre, .nboutput > .output_area, .cell_output > .output, .jp-RenderedHTMLCommon, .pst-scrollable-table-container";
  const SLICE = 8; // ms: what is drawn at once; longer, and a slow telephone would not answer
  const page = document.documentElement;
  const later = window.requestIdleCallback
    ? (draw) => window.requestIdleCallback(draw, { timeout: 500 }) // ms: also beside a model that runs in the page
    : (draw) => window.setTimeout(draw, 16);
  let waiting = []; // parts of the page
  let count = 8; // how many of them take a slice, by what the last ones took
  let drawing = false;

  /** Draw these parts; what scrolls in them gets a stop for the keyboard. All sizes are asked before one is changed. */
  function draw(parts) {
    for (const part of parts) part.style.contentVisibility = "visible";
    const scrollers = parts.flatMap((part) => [
      ...(part.matches(SCROLLERS) ? [part] : []),
      ...part.querySelectorAll(SCROLLERS),
    ]);
    const stops = scrollers.map((scroller) => {
      const wide = scroller.scrollWidth > scroller.clientWidth;
      return wide || scroller.scrollHeight > scroller.clientHeight ? 0 : -1;
    });
    parts.at(-1)?.getBoundingClientRect();
    scrollers.forEach((scroller, place) => {
      if (scroller.tabIndex !== stops[place]) scroller.tabIndex = stops[place];
    });
  }

  function goOn() {
    const start = performance.now();
    draw(waiting.splice(0, Math.ceil(count)));
    const wanted = (count * SLICE) / Math.max(performance.now() - start, 1);
    count = Math.min(Math.max(wanted, count / 2, 1), count * 2);
    drawing = waiting.length > 0;
    if (drawing) later(goOn);
    else page.dataset.drawn = "";
  }

  function drawAll() {
    page.classList.add("all-drawn");
    draw(waiting.splice(0));
  }

  // The theme's script calls this when the page is there, and again when it has changed or has another width.
  window.drawPage = () => {
    const blocks = [...document.querySelectorAll(BLOCKS)];
    waiting = [...blocks, ...[...document.querySelectorAll(SCROLLERS)].filter((part) => !part.closest(BLOCKS))];
    if (drawing) return;
    drawing = true;
    later(goOn);
  };

  // Whoever comes to the middle of a page, or goes there, finds it where it will stay.
  const [arrival] = performance.getEntriesByType("navigation");
  if (window.location.hash || (arrival && arrival.type !== "navigate")) page.classList.add("all-drawn");
  document.addEventListener("click", (event) => {
    if (event.target.closest?.('a[href*="#"]')) drawAll();
  }, true);
  window.addEventListener("beforeprint", drawAll);
})();
