// A transposed convolution, one pixel of the input after the other: each lays down the kernel, and overlaps add.
"use strict";

(() => {
  const { write, cell, define } = courseFigures;
  const SMALL = 26;
  const GAP = 26; // between the tables above
  const SIZE = 38;
  const STRIDES = [1, 2, 3];

  const short = (number) => String(Number(number.toFixed(2)));

  function drawTable(table, left, top, size, scale, frame = () => undefined) {
    return table.flatMap((row, i) =>
      row.map((value, j) => cell(left + j * size, top + i * size, size, value / scale, short(value), { frame: frame(i, j) })),
    );
  }

  /** data: {input, kernel}: two square tables. */
  define("transposed", {
    start: () => ({ stride: 2, step: 0 }),
    still: ({ input }) => ({ stride: 2, step: input.length ** 2 }),
    controls: ({ input }) => [
      { kind: "steps", name: "step", last: () => input.length ** 2 },
      { kind: "slider", name: "stride", label: "Stride", values: STRIDES },
    ],
    draw({ stride, step }, { input, kernel }) {
      const [n, k] = [input.length, kernel.length];
      const side = (n - 1) * stride + k;
      const most = (n - 1) * STRIDES[STRIDES.length - 1] + k;
      const sums = Array.from({ length: side }, () => Array(side).fill(0));
      const writers = Array.from({ length: side }, () => Array(side).fill(0));
      for (let t = 0; t < step; t += 1) {
        const [i, j] = [Math.floor(t / n), t % n];
        for (let a = 0; a < k; a += 1) {
          for (let b = 0; b < k; b += 1) {
            sums[i * stride + a][j * stride + b] += input[i][j] * kernel[a][b];
            writers[i * stride + a][j * stride + b] += 1;
          }
        }
      }
      const [row, column] = [Math.floor((step - 1) / n), (step - 1) % n];
      const scale = Math.max(...input.flat());
      const width = Math.max(most * SIZE, (n + 2 * k) * SMALL + 2 * GAP) + 4;
      const kernelAt = 2 + n * SMALL + GAP;
      const scaledAt = kernelAt + k * SMALL + GAP;
      const middle = 20 + (k * SMALL) / 2 + 4;
      const inputAt = 20 + ((k - n) * SMALL) / 2;
      const parts = [write(2 + (n * SMALL) / 2, 12, "input"), write(kernelAt + (k * SMALL) / 2, 12, "kernel")];
      parts.push(...drawTable(input, 2, inputAt, SMALL, scale, (i, j) => (step && i === row && j === column ? "pink" : undefined)));
      parts.push(...drawTable(kernel, kernelAt, 20, SMALL, scale));
      if (step) {
        const value = input[row][column];
        parts.push(write(scaledAt + (k * SMALL) / 2, 12, `${short(value)} · kernel`), write((kernelAt + k * SMALL + scaledAt) / 2, middle, "→"));
        parts.push(...drawTable(kernel.map((line) => line.map((w) => w * value)), scaledAt, 20, SMALL, scale));
      }
      const top = 20 + k * SMALL + 28;
      const left = (width - side * SIZE) / 2;
      parts.push(write(width / 2, top - 8, `output, ${side} × ${side}`));
      const within = (place, first) => place >= first * stride && place < first * stride + k;
      for (const [i, line] of sums.entries()) {
        for (const [j, value] of line.entries()) {
          const hit = step > 0 && within(i, row) && within(j, column);
          const share = writers[i][j] ? value / scale : null;
          const frame = hit ? (writers[i][j] > 1 ? "pink" : "orange") : undefined;
          parts.push(cell(left + j * SIZE, top + i * SIZE, SIZE, share, short(value), { value, frame }));
        }
      }
      const shared = sums.flatMap((line, i) => line.filter((_, j) => within(i, row) && within(j, column) && writers[i][j] > 1)).length;
      const said = step
        ? `Pixel ${step} of ${n * n}: ${short(input[row][column])} times the kernel is added to the ${k * k} framed places. ` +
          `${shared} of them held something before (pink).`
        : `Nothing is laid down yet. With stride ${stride} the output has ${side} × ${side} pixels.`;
      return { width, height: top + most * SIZE + 4, body: parts.join(""), said };
    },
  });
})();
