// Attention for one query, read tile by tile: running maximum, running sum, accumulated output.
"use strict";

(() => {
  const { softmax, dot, tag, write, cell, define } = courseFigures;
  const LEFT = 60;
  const SIZE = 40;
  const LINE = 19;

  const round = (number) => String(Number(number.toFixed(4)));
  const sum = (numbers) => numbers.reduce((a, b) => a + b, 0);

  /** The three running quantities before and after each tile: [{from, to, before, factor, M, S, O, newS, newO}]. */
  function read({ scores, values }, size) {
    const found = [];
    let [M, S, O] = [-Infinity, 0, 0];
    for (let from = 0; from < scores.length; from += size) {
      const tile = scores.slice(from, from + size);
      const before = { M, S, O };
      M = Math.max(M, ...tile);
      const factor = Math.exp(before.M - M);
      const powers = tile.map((score) => Math.exp(score - M));
      const [newS, newO] = [sum(powers), dot(powers, values.slice(from, from + size))];
      [S, O] = [S * factor + newS, O * factor + newO];
      found.push({ from, to: from + tile.length, before, factor, M, S, O, newS, newO });
    }
    return found;
  }

  const count = ({ scores }, size) => Math.ceil(scores.length / size);

  function write_lines(lines, top) {
    return lines.map(([name, words, value], i) =>
      tag(
        "g",
        value === undefined ? {} : { "data-name": name, "data-value": value.toFixed(6) },
        write(LEFT - 8, top + i * LINE, name, { "text-anchor": "end", "font-style": "italic" }) +
          write(LEFT, top + i * LINE, words, { "text-anchor": "start" }),
      ),
    );
  }

  /** data: {scores, values}: of one query, a number for each key. */
  define("tiles", {
    start: () => ({ size: 3, step: 0 }),
    still: (data) => ({ size: 3, step: count(data, 3) + 1 }),
    controls: (data) => [
      { kind: "steps", name: "step", last: ({ size }) => count(data, size) + 1 },
      { kind: "slider", name: "size", label: "Tile size", values: [1, 2, 3, 4, 6] },
    ],
    draw({ size, step }, data) {
      const { scores, values } = data;
      const tiles = read(data, size);
      const done = step > tiles.length;
      const now = step === 0 ? null : tiles[Math.min(step, tiles.length) - 1];
      const seen = now ? now.to : 0;
      const largest = Math.max(...scores);
      const top = 8;
      const parts = [];
      for (const [k, name] of ["score s", "value v", "exp(s − M)"].entries()) {
        parts.push(write(LEFT - 8, top + k * (SIZE + 4) + SIZE / 2 + 3.5, name, { "text-anchor": "end", "font-size": 9.5 }));
      }
      for (const [j, score] of scores.entries()) {
        const x = LEFT + j * SIZE;
        const frame = now && !done && j >= now.from && j < now.to ? "pink" : undefined;
        const power = j < seen ? Math.exp(score - now.M) : null;
        parts.push(cell(x, top, SIZE, j < seen ? (0.7 * score) / largest : null, String(score), { frame }));
        parts.push(cell(x, top + SIZE + 4, SIZE, null, String(values[j]), { frame }));
        const shown = power === null ? "" : power.toFixed(4);
        parts.push(cell(x, top + 2 * (SIZE + 4), SIZE, power, shown, { frame, value: power ?? undefined }));
      }
      const dense = dot(softmax(scores), values);
      const lines = [];
      if (now && !done) {
        const { before, factor, M, S, O, newS, newO } = now;
        const was = before.M === -Infinity ? "−∞" : round(before.M);
        lines.push(["M", `${was} → ${round(M)}`, M]);
        lines.push(["factor", `exp(${was} − ${round(M)}) = ${round(factor)}`, factor]);
        lines.push(["S", `${round(before.S)} · ${round(factor)} + ${round(newS)} = ${round(S)}`, S]);
        lines.push(["O", `${round(before.O)} · ${round(factor)} + ${round(newO)} = ${round(O)}`, O]);
      } else if (done) {
        const { M, S, O } = now;
        lines.push(["M", round(M), M], ["S", round(S), S], ["O", round(O), O]);
        lines.push(["O / S", `${round(O)} / ${round(S)} = ${round(O / S)}`, O / S]);
        lines.push(["dense", `softmax(s) · v, all at once = ${round(dense)}`, dense]);
      } else {
        lines.push(["M", "−∞"], ["S", "0", 0], ["O", "0", 0]);
      }
      const below = top + 3 * (SIZE + 4) + 20;
      parts.push(...write_lines(lines, below));
      const said = !now
        ? `Nothing is read yet. ${tiles.length} tiles wait.`
        : done
          ? `All ${tiles.length} tiles are read: O / S = ${round(now.O / now.S)}, and the dense result is ${round(dense)}.`
          : `Tile ${step} of ${tiles.length}. M = ${round(now.M)}, factor ${round(now.factor)}, S = ${round(now.S)}, O = ${round(now.O)}.`;
      return { width: LEFT + scores.length * SIZE + 4, height: below + 5 * LINE - 8, body: parts.join(""), said };
    },
  });
})();
