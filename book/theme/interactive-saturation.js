// How a softmax saturates as queries and keys get wider, and how the division by √d keeps it from that.
"use strict";

(() => {
  const { COLOURS, softmax, dot, tag, write, define } = courseFigures;
  const KEYS = 12;
  const WIDTHS = [1, 2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256, 384, 512, 768, 1024];
  const WIDEST = WIDTHS[WIDTHS.length - 1];
  const LEFT = 30;
  const BAR = 21;
  const PANEL = 76;
  const EVEN = 1 / KEYS;

  /** Numbers of a normal distribution, the same for the same seed: mulberry32, then Box and Muller. */
  function normals(seed, count) {
    let state = seed;
    const uniform = () => {
      state = (state + 0x6d2b79f5) | 0;
      let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
      mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
    };
    return Array.from({ length: count }, () => {
      const radius = Math.sqrt(-2 * Math.log(1 - uniform()));
      return radius * Math.cos(2 * Math.PI * uniform());
    });
  }

  const drawn = {};

  /** A query and the keys at full width. */
  function vectors(draw) {
    drawn[draw] ??= {
      query: normals(1000 + draw, WIDEST),
      keys: Array.from({ length: KEYS }, (_, j) => normals(2000 + 100 * draw + j, WIDEST)),
    };
    return drawn[draw];
  }

  const entropy = (weights) => -weights.reduce((sum, w) => sum + (w > 0 ? w * Math.log(w) : 0), 0);

  function drawPanel(top, title, weights, colour) {
    const at = (share) => top + 18 + (1 - share) * PANEL;
    const right = LEFT + KEYS * BAR;
    const told = `largest ${Math.max(...weights).toFixed(3)}, entropy ${entropy(weights).toFixed(2)}`;
    const parts = [
      write(LEFT, top + 10, title, { "text-anchor": "start", "font-size": 11 }),
      write(right, top + 10, told, { "text-anchor": "end" }),
    ];
    for (const share of [0, 0.5, 1]) {
      parts.push(tag("line", { x1: LEFT, x2: right, y1: at(share), y2: at(share), stroke: "currentColor", "stroke-opacity": 0.25 }));
      parts.push(write(LEFT - 5, at(share) + 3.5, share, { "text-anchor": "end", "font-size": 9.5 }));
    }
    for (const [j, weight] of weights.entries()) {
      const bar = { x: LEFT + j * BAR + 3, y: at(weight), width: BAR - 6, height: weight * PANEL, fill: colour };
      parts.push(tag("g", { "data-value": weight.toFixed(6) }, tag("rect", bar)));
    }
    const even = { x1: LEFT, x2: right, y1: at(EVEN), y2: at(EVEN), stroke: "currentColor", "stroke-dasharray": "4 3" };
    return [...parts, tag("line", even)].join("");
  }

  define("saturation", {
    start: () => ({ width: 64, draw: 0 }),
    still: () => ({ width: 64, draw: 0 }),
    vectors,
    controls: () => [
      { kind: "slider", name: "width", label: "Width d", values: WIDTHS },
      { kind: "again", name: "draw", label: "Draw other vectors" },
    ],
    draw({ width, draw }) {
      const { query, keys } = vectors(draw);
      const scores = keys.map((key) => dot(query.slice(0, width), key));
      const plain = softmax(scores);
      const divided = softmax(scores.map((score) => score / Math.sqrt(width)));
      const second = PANEL + 44;
      const right = LEFT + KEYS * BAR;
      const keysAt = (top) =>
        plain.map((_, j) => write(LEFT + (j + 0.5) * BAR, top + PANEL + 30, j + 1, { "font-size": 9 })).join("");
      const body = [
        drawPanel(0, `q · k, d = ${width}`, plain, COLOURS.orange),
        drawPanel(second, "q · k / √d", divided, COLOURS.blue),
        keysAt(second),
        write(LEFT + (KEYS * BAR) / 2, second + PANEL + 44, "key"),
      ];
      const tell = (weights) => `largest weight ${Math.max(...weights).toFixed(4)}, entropy ${entropy(weights).toFixed(4)} nats`;
      const said =
        `Width ${width}. Not divided: ${tell(plain)}. Divided by √${width}: ${tell(divided)}. ` +
        `Even weights (dashed) would be ${EVEN.toFixed(3)} each, with an entropy of ${Math.log(KEYS).toFixed(2)}.`;
      return { width: right + 4, height: second + PANEL + 50, body: body.join(""), said };
    },
  });
})();
