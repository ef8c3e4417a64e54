// Who looks at whom: choose an asking word and see its weights on the words that it asks.
"use strict";

(() => {
  const { COLOURS, tag, write, define } = courseFigures;
  const LETTER = 6.6; // width of a letter
  const ROW = 19;
  const TOP = 34;
  const LINES = 84; // between the two columns of words
  const NUMBER = 30;
  const ALL = -1;

  const longest = (words) => Math.max(...words.map((word) => word.length));

  /** One table as two columns of words, with a line for each weight; `left` is where it begins. */
  function drawPanel({ title, weights }, left, { row }, { rows, columns }, sizes) {
    const { asking, height } = sizes;
    const from = left + asking + 8;
    const to = from + LINES;
    const at = (count) => (i) => TOP + ((i + 0.5) * height) / count;
    const [askAt, askedAt] = [at(rows.length), at(columns.length)];
    const parts = [write(from + LINES / 2, 12, title, { "font-size": 11 })];
    for (const [i, line] of weights.entries()) {
      if (row !== ALL && row !== i) continue;
      for (const [j, weight] of line.entries()) {
        if (weight < 0.005) continue;
        const place = { x1: from, y1: askAt(i), x2: to, y2: askedAt(j) };
        const strength = { "stroke-width": 0.4 + 4.6 * weight, "stroke-opacity": Math.max(weight, row === ALL ? 0 : 0.2) };
        parts.push(tag("line", { ...place, stroke: COLOURS.blue, ...strength }));
      }
    }
    for (const [i, word] of rows.entries()) {
      const box = { x: left, y: askAt(i) - ROW / 2, width: asking + 8, height: ROW, rx: 3, "fill-opacity": 0 };
      const ring = row === i ? { stroke: "currentColor" } : {};
      const bold = { "text-anchor": "end", "font-weight": row === i ? 700 : undefined };
      const content = tag("rect", { ...box, ...ring }) + write(from - 4, askAt(i) + 3.5, word, bold);
      parts.push(tag("g", { "data-row": i }, content));
    }
    for (const [j, word] of columns.entries()) {
      if (row !== ALL) {
        const value = weights[row][j];
        const number = write(to + NUMBER, askedAt(j) + 3.5, value.toFixed(2), { "text-anchor": "end", "font-size": 9.5 });
        parts.push(tag("g", { "data-value": value.toFixed(6) }, number));
      }
      const largest = row !== ALL && weights[row][j] === Math.max(...weights[row]);
      const bold = { "text-anchor": "start", "font-weight": largest ? 700 : undefined };
      parts.push(write(to + NUMBER + 6, askedAt(j) + 3.5, word, bold));
    }
    return parts.join("");
  }

  /** The largest weights of a row in words. */
  function tell({ title, weights }, row, { columns }, several) {
    const order = columns.map((word, j) => [weights[row][j], word]).sort((a, b) => b[0] - a[0]);
    const told = order.filter(([weight], k) => k === 0 || weight >= 0.005).slice(0, 3).map(([weight, word]) => `${word} ${weight.toFixed(2)}`);
    return `${several ? `${title}: ` : ""}${told.join(", ")}`;
  }

  /** data: {tables: [{title, weights}], beside, rows, columns, row_title, column_title}; beside: all tables at once. */
  define("weights", {
    start: () => ({ table: 0, row: ALL }),
    still: () => ({ table: 0, row: ALL }),
    pointed: ["row"],
    controls: ({ tables, beside, rows, row_title }) => [
      ...(beside || tables.length === 1
        ? []
        : [{ kind: "choice", name: "table", label: "Weights of", options: tables.map(({ title }, i) => [i, title]) }]),
      {
        kind: "choice",
        name: "row",
        label: row_title,
        options: [[ALL, "all"], ...rows.map((word, i) => [i, word])],
        hover: true,
      },
    ],
    draw(state, data) {
      const { rows, columns, row_title, column_title } = data;
      const panels = data.beside ? data.tables : [data.tables[state.table]];
      const asking = LETTER * Math.max(longest(rows), 2);
      const asked = LETTER * Math.max(longest(columns), 2);
      const height = ROW * Math.max(rows.length, columns.length);
      const width = asking + 8 + LINES + NUMBER + 6 + asked;
      const pitch = width + 18;
      const parts = panels.map((panel, k) => drawPanel(panel, 1 + k * pitch, state, data, { asking, height }));
      for (const k of panels.keys()) {
        const small = { "font-size": 9.5, "font-style": "italic" };
        const left = 1 + k * pitch;
        parts.push(write(left, 26, row_title, { ...small, "text-anchor": "start" }));
        parts.push(write(left + width, 26, column_title, { ...small, "text-anchor": "end" }));
      }
      const told = panels.map((panel) => state.row !== ALL && tell(panel, state.row, data, data.tables.length > 1));
      const said =
        state.row === ALL
          ? "The thicker a line, the larger the weight. Point at a word, or choose one, to see its numbers."
          : `“${rows[state.row]}” looks most at: ${told.join("; ")}.`;
      return { width: 2 + panels.length * pitch - 18, height: TOP + height + 4, body: parts.join(""), said };
    },
  });
})();
