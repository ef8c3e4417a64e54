// Masks: who may look at whom, and how the weights that are left share what there is.
"use strict";

(() => {
  const { softmax, dot, write, cell, define } = courseFigures;
  const LEFT = 58;
  const TOP = 46;
  const SIZE = 40;

  const numbers = (first, last) => Array.from({ length: last - first + 1 }, (_, i) => first + i);

  /** data: {words, vectors}: each word asks, and is asked, with its vector. */
  define("masks", {
    start: ({ words }) => ({ causal: false, reach: words.length - 1, length: words.length }),
    still: ({ words }) => ({ causal: true, reach: words.length - 1, length: words.length }),
    controls: ({ words }) => [
      { kind: "switch", name: "causal", label: "Causal: no word looks ahead" },
      { kind: "slider", name: "reach", label: "Window: words away", values: numbers(0, words.length - 1) },
      { kind: "slider", name: "length", label: "Words before padding", values: numbers(0, words.length) },
    ],
    draw({ causal, reach, length }, { words, vectors }) {
      const scale = Math.sqrt(vectors[0].length);
      const allowed = (i, j) => j < length && Math.abs(i - j) <= reach && !(causal && j > i);
      const parts = [write(LEFT + (words.length * SIZE) / 2, 12, "asked word")];
      parts.push(write(LEFT - 8, TOP - 8, "asking", { "text-anchor": "end", "font-style": "italic", "font-size": 9.5 }));
      parts.push(write(LEFT + words.length * SIZE + 24, TOP - 8, "sum", { "font-style": "italic", "font-size": 9.5 }));
      const name = (i) => (i < length ? words[i] : "(pad)");
      let [blocked, empty] = [0, 0];
      for (const [i, asking] of vectors.entries()) {
        const y = TOP + i * SIZE;
        const scores = vectors.map((asked, j) => (allowed(i, j) ? dot(asking, asked) / scale : -Infinity));
        const weights = softmax(scores);
        const total = weights.reduce((a, b) => a + b, 0);
        empty += total === 0;
        parts.push(write(LEFT + (i + 0.5) * SIZE, TOP - 8, name(i)));
        parts.push(write(LEFT - 8, y + SIZE / 2 + 3.5, name(i), { "text-anchor": "end" }));
        for (const [j, weight] of weights.entries()) {
          const open = allowed(i, j);
          blocked += !open;
          const label = open ? weight.toFixed(2) : "−∞";
          parts.push(cell(LEFT + j * SIZE, y, SIZE, open ? weight : null, label, { value: weight }));
        }
        parts.push(write(LEFT + words.length * SIZE + 24, y + SIZE / 2 + 3.5, total.toFixed(2)));
      }
      const rest = "sums to one: what is blocked goes to the words that are left.";
      const zeros = `${empty} of ${words.length} words have nothing to look at, and get zeros.`;
      const rows = empty === 0 ? `Every row ${rest}` : empty < words.length ? `${zeros} Every other row ${rest}` : zeros;
      const said = `${blocked} of ${words.length ** 2} pairs are blocked, before the softmax. ${rows}`;
      const width = LEFT + words.length * SIZE + 48;
      const whole = blocked ? said : "Nothing is blocked: every word looks at every word, and every row sums to one.";
      return { width, height: TOP + words.length * SIZE + 4, body: parts.join(""), said: whole };
    },
  });
})();
