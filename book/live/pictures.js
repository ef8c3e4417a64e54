// Small pictures: arrays of numbers as squares on a canvas. They keep their own paper, light or dark the page.
"use strict";

window.coursePictures = (() => {
  const SIDE = 96; // points of a picture along each side; the style says how large it is shown

  // From a lowest to a highest number; SEQUENTIAL is that of the book's figures.
  const GREY = [[0, 0, 0], [255, 255, 255]];
  const PAPER = [[255, 255, 255], [0, 0, 0]];
  const SEQUENTIAL = [[244, 248, 252], [111, 183, 228], [11, 90, 148], [6, 36, 63]];

  /** The colour at a share of the way through a list of colours. */
  function colour(stops, share) {
    const place = Math.min(1, Math.max(0, share)) * (stops.length - 1);
    const before = Math.min(Math.floor(place), stops.length - 2);
    const mixed = stops[before].map((from, i) => Math.round(from + (place - before) * (stops[before + 1][i] - from)));
    return `rgb(${mixed.join(" ")})`;
  }

  /** A canvas that says in words what it shows. */
  function canvas(label, side = SIDE) {
    const attributes = { class: "live-picture", role: "img", "aria-label": label, width: side, height: side };
    return courseLive.make("canvas", attributes);
  }

  /** A square of numbers, row by row, between `low` and `high`. */
  function paint(target, numbers, { low, high, stops }) {
    const count = Math.sqrt(numbers.length);
    const size = target.width / count;
    const pen = target.getContext("2d");
    numbers.forEach((number, i) => {
      pen.fillStyle = colour(stops, (number - low) / (high - low));
      pen.fillRect((i % count) * size, Math.floor(i / count) * size, size, size);
    });
  }

  /** Ink on top of what is there: in each square a dot, the larger the more ink (numbers from -1 to 1). */
  function dot(target, numbers, fill) {
    const count = Math.sqrt(numbers.length);
    const size = target.width / count;
    const pen = target.getContext("2d");
    pen.fillStyle = fill;
    numbers.forEach((number, i) => {
      pen.beginPath();
      pen.arc(((i % count) + 0.5) * size, (Math.floor(i / count) + 0.5) * size, (0.4 * size * (number + 1)) / 2, 0, 7);
      pen.fill();
    });
  }

  return { canvas, paint, dot, GREY, PAPER, SEQUENTIAL };
})();
