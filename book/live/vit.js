// The vision transformer in the page: patches, a class token, blocks without a mask, and what each head looked at.
// The same definitions as in course_lib/models/vit.py; blocks as in course_lib/models/transformer.py.
"use strict";

window.courseVit = (() => {
  const nn = window.courseNN;
  const PATCH = 2;
  const layer = (x, weights, name) => nn.linear(x, weights[`${name}.weight`], weights[`${name}.bias`]);
  const norm = (x, weights, name) => nn.layerNorm(x, weights[`${name}.weight`], weights[`${name}.bias`]);

  /** Logits (1, classes) of an image (1, 1, 8, 8), and of each block where every vector looked (1, heads, 17, 17). */
  function read(weights, image, heads) {
    const patches = layer(nn.patchify(image, PATCH), weights, "patch_embedding.projection"); // (1, 16, d_model)
    let x = nn.add(nn.concat([weights.class_token, patches], 1), weights.positions); // (1, 17, d_model)
    const looks = [];
    for (let i = 0; `blocks.${i}.norm1.weight` in weights; i++) {
      const block = nn.part(weights, `blocks.${i}.`);
      const attended = nn.multiHeadAttention(x, x, nn.part(block, "self_attention."), heads);
      looks.push(attended.weights);
      x = norm(nn.add(x, attended.output), block, "norm1");
      const inner = nn.relu(layer(x, block, "feed_forward.linear1"));
      x = norm(nn.add(x, layer(inner, block, "feed_forward.linear2")), block, "norm2");
    }
    return { logits: layer(nn.reshape(nn.slice(x, 0, 1, 1), [1, -1]), weights, "head"), looks };
  }

  /** Attention followed through all blocks: the product of ½ (mean of the heads) + ½ I, the first block on the right. */
  function rollout(looks) {
    const mixing = looks.map((weights) => {
      const mean = nn.mean(weights, 1); // (1, length, length)
      const length = mean.shape[1];
      return nn.tensor(mean.shape, mean.data.map((value, i) => (value + (i % (length + 1) === 0 ? 1 : 0)) / 2));
    });
    return mixing.reduce((through, next) => nn.matmul(next, through));
  }

  // ---- from a drawing to 8 × 8 pixels ----------------------------------------------------------------------------

  const FINE = 32; // the digits of the data were bitmaps of 32 × 32; a pixel counts the ink of 4 × 4 of them
  const PEN = 2.6; // half the width of a stroke, in pixels of the bitmap: the drawings have as much ink as the data

  /**
   * Strokes, lists of points [x, y] between 0 and 1, as an image (1, 1, 8, 8) from -1 (paper) to 1 (full ink). As those
   * who made the data did, the drawing is first brought to full size, unless it is tiny, and into the middle.
   */
  function toImage(strokes) {
    const points = strokes.flat();
    const image = nn.tensor([1, 1, 8, 8], new Float32Array(64).fill(-1));
    if (!points.length) return image;
    const [left, right, top, bottom] = [
      Math.min(...points.map(([x]) => x)),
      Math.max(...points.map(([x]) => x)),
      Math.min(...points.map(([, y]) => y)),
      Math.max(...points.map(([, y]) => y)),
    ];
    const scale = (FINE - 2 * PEN) / Math.max(right - left, bottom - top, 0.2);
    const place = ([x, y]) => [
      FINE / 2 + (x - (left + right) / 2) * scale,
      FINE / 2 + (y - (top + bottom) / 2) * scale,
    ];
    const drawn = strokes.map((stroke) => stroke.map(place));
    for (let i = 0; i < FINE * FINE; i++) {
      const [row, column] = [Math.floor(i / FINE), i % FINE];
      if (drawn.some((stroke) => isNear(stroke, column + 0.5, row + 0.5))) {
        image.data[Math.floor(row / 4) * 8 + Math.floor(column / 4)] += 2 / 16;
      }
    }
    return image;
  }

  /** Does the pen touch this place on its way along the stroke? */
  function isNear(stroke, x, y) {
    return stroke.some(([x1, y1], i) => {
      const [x0, y0] = stroke[Math.max(i - 1, 0)];
      const length = (x1 - x0) ** 2 + (y1 - y0) ** 2;
      const along = length && Math.min(1, Math.max(0, ((x - x0) * (x1 - x0) + (y - y0) * (y1 - y0)) / length));
      return (x - x0 - along * (x1 - x0)) ** 2 + (y - y0 - along * (y1 - y0)) ** 2 <= PEN ** 2;
    });
  }

  return { read, rollout, toImage };
})();
