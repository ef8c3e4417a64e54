// The layers of this course's models, in the browser: what PyTorch computes, on plain arrays.
//
// A tensor is a plain object {shape, data}: `shape` lists the axes, `data` is a Float32Array with the numbers in
// reading order, the last axis fastest. Functions take tensors and give new ones; nothing is changed in place.
// Names and weights' shapes are PyTorch's, so weights can be copied and results compared number by number.
//
// Read it from top to bottom: tensors and their axes, sums and products, activations, normalisations, attention,
// convolutions, and at the end how weights are read from text.
"use strict";

window.courseNN = (() => {
  const count = (shape) => shape.reduce((product, size) => product * size, 1);

  function tensor(shape, data = new Float32Array(count(shape))) {
    if (data.length !== count(shape)) {
      throw new Error(`A tensor of shape (${shape.join(", ")}) has ${count(shape)} numbers, not ${data.length}.`);
    }
    return { shape, data: data instanceof Float32Array ? data : Float32Array.from(data) };
  }

  /** The same numbers with other axes; one size may be -1, and is then what is left. */
  function reshape(x, shape) {
    const known = -count(shape);
    return tensor(shape.map((size) => (size === -1 ? x.data.length / known : size)), x.data);
  }

  /** Axes in another order: permute(x, [0, 2, 1]) exchanges the last two of three. */
  function permute(x, order) {
    const shape = order.map((axis) => x.shape[axis]);
    const steps = order.map((axis) => count(x.shape.slice(axis + 1))); // how far a step along each new axis jumps in x
    const result = tensor(shape);
    const place = shape.map(() => 0);
    for (let i = 0, from = 0; i < result.data.length; i++) {
      result.data[i] = x.data[from];
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        from += steps[axis];
        if (++place[axis] < shape[axis]) break;
        from -= steps[axis] * shape[axis];
        place[axis] = 0;
      }
    }
    return result;
  }

  /** The last two axes exchanged. */
  function transpose(x) {
    const axes = x.shape.map((_, axis) => axis);
    return permute(x, [...axes.slice(0, -2), axes.length - 1, axes.length - 2]);
  }

  /** x[:, ..., start:end, ..., :], cut along one axis; a negative axis counts from the end. */
  function slice(x, start, end, axis = 0) {
    const cut = axis < 0 ? axis + x.shape.length : axis;
    const inner = count(x.shape.slice(cut + 1));
    const whole = x.shape[cut] * inner;
    const part = (end - start) * inner;
    const result = tensor(x.shape.map((size, i) => (i === cut ? end - start : size)));
    for (let i = 0; i < x.data.length / whole; i++) {
      result.data.set(x.data.subarray(i * whole + start * inner, i * whole + end * inner), i * part);
    }
    return result;
  }

  /** Equal parts along one axis. */
  function chunk(x, parts, axis = -1) {
    const size = x.shape.at(axis) / parts;
    return Array.from({ length: parts }, (_, i) => slice(x, i * size, (i + 1) * size, axis));
  }

  /** Tensors one after the other along one axis. */
  function concat(tensors, axis = 0) {
    const along = axis < 0 ? axis + tensors[0].shape.length : axis;
    const outer = count(tensors[0].shape.slice(0, along));
    const total = tensors.reduce((sum, x) => sum + x.shape[along], 0);
    const result = tensor(tensors[0].shape.map((size, i) => (i === along ? total : size)));
    let at = 0;
    for (let i = 0; i < outer; i++) {
      for (const x of tensors) {
        const part = x.data.length / outer;
        result.data.set(x.data.subarray(i * part, (i + 1) * part), at);
        at += part;
      }
    }
    return result;
  }

  /** The mean along one axis, which disappears. */
  function mean(x, axis) {
    const size = x.shape[axis];
    const inner = count(x.shape.slice(axis + 1));
    const result = tensor(x.shape.filter((_, i) => i !== axis));
    for (let i = 0; i < result.data.length; i++) {
      const start = Math.floor(i / inner) * size * inner + (i % inner);
      let sum = 0;
      for (let k = 0; k < size; k++) sum += x.data[start + k * inner];
      result.data[i] = sum / size;
    }
    return result;
  }

  // ---- sums and products -------------------------------------------------------------------------------------

  const map = (x, f) => tensor(x.shape, x.data.map(f));

  /** f(a, b) for each pair; b is repeated along its axes of size 1 and along those that a has in front of its own. */
  function combine(a, b, f) {
    const shape = [...a.shape.map(() => 1), ...b.shape].slice(-a.shape.length);
    const steps = shape.map((size, axis) => (size === 1 ? 0 : count(shape.slice(axis + 1))));
    if (b.shape.length > a.shape.length || shape.some((size, axis) => size !== 1 && size !== a.shape[axis])) {
      throw new Error(`Shape (${b.shape.join(", ")}) cannot be repeated to (${a.shape.join(", ")}).`);
    }
    const result = tensor(a.shape);
    const place = a.shape.map(() => 0);
    for (let i = 0, other = 0; i < result.data.length; i++) {
      result.data[i] = f(a.data[i], b.data[other]);
      for (let axis = place.length - 1; axis >= 0; axis--) {
        other += steps[axis];
        if (++place[axis] < a.shape[axis]) break;
        other -= steps[axis] * a.shape[axis];
        place[axis] = 0;
      }
    }
    return result;
  }

  const add = (a, b) => combine(a, b, (x, y) => x + y);
  const multiply = (a, b) => combine(a, b, (x, y) => x * y);

  /** x Wᵀ + b: x (..., in), weight (out, in), bias (out) or none -> (..., out). */
  function linear(x, weight, bias) {
    const [outputs, inputs] = weight.shape;
    if (x.shape.at(-1) !== inputs) {
      throw new Error(`This layer takes vectors of ${inputs} numbers, not of ${x.shape.at(-1)}.`);
    }
    const result = tensor([...x.shape.slice(0, -1), outputs]);
    const rows = x.data.length / inputs;
    for (let row = 0; row < rows; row++) {
      for (let o = 0; o < outputs; o++) {
        let sum = bias ? bias.data[o] : 0;
        for (let i = 0, at = row * inputs, w = o * inputs; i < inputs; i++) sum += x.data[at++] * weight.data[w++];
        result.data[row * outputs + o] = sum;
      }
    }
    return result;
  }

  /** a (..., n, k) times b (..., k, m) -> (..., n, m); both have the same axes in front. */
  function matmul(a, b) {
    const [n, k] = a.shape.slice(-2);
    const m = b.shape.at(-1);
    if (b.shape.at(-2) !== k) throw new Error(`Rows of ${k} numbers do not meet columns of ${b.shape.at(-2)}.`);
    const result = tensor([...a.shape.slice(0, -1), m]);
    for (let batch = 0; batch < a.data.length / (n * k); batch++) {
      multiplyInto(result.data, batch * n * m, a.data, batch * n * k, b.data, batch * k * m, n, k, m);
    }
    return result;
  }

  /** out (n, m) += a (n, k) b (k, m), each from its place on; row by row, so that memory is read in its order. */
  function multiplyInto(out, outAt, a, aAt, b, bAt, n, k, m) {
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < k; j++) {
        const factor = a[aAt + i * k + j];
        for (let c = 0, to = outAt + i * m, from = bAt + j * m; c < m; c++) out[to++] += factor * b[from++];
      }
    }
  }

  /** One row of weight (words, width) for each id: ids, a list -> (ids, width). */
  function embedding(ids, weight) {
    const width = weight.shape[1];
    const result = tensor([ids.length, width]);
    ids.forEach((id, i) => result.data.set(weight.data.subarray(id * width, (id + 1) * width), i * width));
    return result;
  }

  // ---- activations: each number by itself --------------------------------------------------------------------

  const relu = (x) => map(x, (value) => Math.max(0, value));
  const tanh = (x) => map(x, Math.tanh);
  const sigmoid = (x) => map(x, (value) => 1 / (1 + Math.exp(-value)));
  const silu = (x) => map(x, (value) => value / (1 + Math.exp(-value)));
  const gelu = (x) => map(x, (value) => 0.5 * value * (1 + erf(value / Math.SQRT2)));

  /** The error function to 1.5e-7: Abramowitz and Stegun, "Handbook of Mathematical Functions", 1964, 7.1.26. */
  function erf(x) {
    const t = 1 / (1 + 0.3275911 * Math.abs(x));
    const series = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
    const tail = series.reduce((sum, factor) => (sum + factor) * t, 0) * Math.exp(-x * x);
    return Math.sign(x) * (1 - tail);
  }

  /** Along the last axis: positive numbers that sum to one. The largest is subtracted first, so that none overflows. */
  function softmax(x) {
    const size = x.shape.at(-1);
    const result = tensor(x.shape);
    for (let start = 0; start < x.data.length; start += size) {
      let largest = -Infinity;
      for (let i = 0; i < size; i++) largest = Math.max(largest, x.data[start + i]);
      let sum = 0;
      for (let i = 0; i < size; i++) sum += result.data[start + i] = Math.exp(x.data[start + i] - largest);
      for (let i = 0; i < size; i++) result.data[start + i] /= sum;
    }
    return result;
  }

  // ---- normalisations ----------------------------------------------------------------------------------------

  /** Each run of `size` numbers brought to mean 0 and variance 1. */
  function standardise(x, size, eps) {
    const result = tensor(x.shape);
    for (let start = 0; start < x.data.length; start += size) {
      let sum = 0;
      for (let i = 0; i < size; i++) sum += x.data[start + i];
      const centre = sum / size;
      let squares = 0;
      for (let i = 0; i < size; i++) squares += (x.data[start + i] - centre) ** 2;
      const scale = 1 / Math.sqrt(squares / size + eps);
      for (let i = 0; i < size; i++) result.data[start + i] = (x.data[start + i] - centre) * scale;
    }
    return result;
  }

  /** The last axis: (x - μ) / √(σ² + ε) · weight + bias, both (channels) or none. */
  function layerNorm(x, weight, bias, eps = 1e-5) {
    const normal = standardise(x, x.shape.at(-1), eps);
    return weight ? add(multiply(normal, weight), bias) : normal;
  }

  /** Each group of channels with all its pixels: x (batch, channels, height, width), weight and bias (channels). */
  function groupNorm(x, groups, weight, bias, eps = 1e-5) {
    const normal = standardise(x, count(x.shape.slice(1)) / groups, eps);
    const perChannel = (y) => reshape(y, [-1, 1, 1]);
    return add(multiply(normal, perChannel(weight)), perChannel(bias));
  }

  // ---- attention ---------------------------------------------------------------------------------------------

  /**
   * softmax(Q Kᵀ / √head_dim) V: query (..., n, head_dim), key and value (..., m, head_dim).
   * `allowed` (n, m), where given, is 0 for each pair that is blocked. Gives {output, weights}.
   */
  function attention(query, key, value, allowed) {
    const scale = 1 / Math.sqrt(query.shape.at(-1));
    let scores = map(matmul(query, transpose(key)), (score) => score * scale); // (..., n, m)
    if (allowed) scores = combine(scores, allowed, (score, open) => (open ? score : -Infinity));
    const weights = softmax(scores);
    return { output: matmul(weights, value), weights };
  }

  /**
   * Attention in several heads: query (batch, n, d_model), memory (batch, m, d_model), `weights` a table with
   * `query_projection.weight` and so on. Gives {output (batch, n, d_model), weights (batch, heads, n, m)}.
   */
  function multiHeadAttention(query, memory, weights, heads, allowed) {
    const project = (x, name) => linear(x, weights[`${name}_projection.weight`], weights[`${name}_projection.bias`]);
    const split = (x) => permute(reshape(x, [...x.shape.slice(0, 2), heads, -1]), [0, 2, 1, 3]); // heads before n
    const found = attention(
      split(project(query, "query")),
      split(project(memory, "key")),
      split(project(memory, "value")),
      allowed,
    );
    const merged = reshape(permute(found.output, [0, 2, 1, 3]), query.shape);
    return { output: project(merged, "output"), weights: found.weights };
  }

  // ---- convolutions: images (batch, channels, height, width) -------------------------------------------------

  /**
   * x with a kernel: weight (out, channels, kh, kw), bias (out) or none. What each stop of the kernel sees is written
   * into a column; then one product of matrices does all stops at once.
   */
  function conv2d(x, weight, bias, { stride = 1, padding = 0 } = {}) {
    const [batch, channels, height, width] = x.shape;
    const [outputs, , kh, kw] = weight.shape;
    const rows = Math.floor((height + 2 * padding - kh) / stride) + 1;
    const columns = Math.floor((width + 2 * padding - kw) / stride) + 1;
    const stops = rows * columns;
    const size = channels * kh * kw;
    const seen = new Float32Array(size * stops); // (channels · kh · kw, stops), zeros where the frame is
    const result = tensor([batch, outputs, rows, columns]);
    for (let image = 0; image < batch; image++) {
      for (let line = 0, to = 0; line < size; line++) {
        const plane = (image * channels + Math.floor(line / (kh * kw))) * height * width;
        const down = (Math.floor(line / kw) % kh) - padding;
        const right = (line % kw) - padding;
        for (let i = down; i < down + rows * stride; i += stride) {
          for (let j = right; j < right + columns * stride; j += stride) {
            const inside = i >= 0 && i < height && j >= 0 && j < width;
            seen[to++] = inside ? x.data[plane + i * width + j] : 0;
          }
        }
      }
      multiplyInto(result.data, image * outputs * stops, weight.data, 0, seen, 0, outputs, size, stops);
    }
    return bias ? add(result, reshape(bias, [-1, 1, 1])) : result;
  }

  /** Each pixel paints a kernel: weight (channels, out, kh, kw), bias (out); kernels that overlap add up. */
  function convTranspose2d(x, weight, bias, { stride = 1 } = {}) {
    const [batch, channels, height, width] = x.shape;
    const [, outputs, kh, kw] = weight.shape;
    const result = tensor([batch, outputs, (height - 1) * stride + kh, (width - 1) * stride + kw]);
    const [, , rows, columns] = result.shape;
    for (let at = 0; at < x.data.length; at++) {
      const [i, j] = [Math.floor(at / width) % height, at % width];
      const plane = Math.floor(at / (height * width));
      const [channel, image] = [plane % channels, Math.floor(plane / channels)];
      for (let w = 0; w < outputs * kh * kw; w++) {
        const [o, down, right] = [Math.floor(w / (kh * kw)), Math.floor(w / kw) % kh, w % kw];
        const to = ((image * outputs + o) * rows + i * stride + down) * columns + j * stride + right;
        result.data[to] += x.data[at] * weight.data[channel * outputs * kh * kw + w];
      }
    }
    return add(result, reshape(bias, [-1, 1, 1]));
  }

  /** The largest number of each square of size × size pixels. */
  function maxPool2d(x, size) {
    const [batch, channels, height, width] = x.shape;
    const result = tensor([batch, channels, Math.floor(height / size), Math.floor(width / size)]);
    result.data.fill(-Infinity);
    const [rows, columns] = result.shape.slice(2);
    for (let at = 0; at < x.data.length; at++) {
      const [i, j] = [Math.floor((Math.floor(at / width) % height) / size), Math.floor((at % width) / size)];
      if (i >= rows || j >= columns) continue; // an edge that fills no square
      const to = (Math.floor(at / (height * width)) * rows + i) * columns + j;
      result.data[to] = Math.max(result.data[to], x.data[at]);
    }
    return result;
  }

  /** Squares of size × size pixels as a sequence of vectors: (batch, patches, channels · size²). */
  function patchify(x, size) {
    const [batch, channels, height, width] = x.shape;
    const squares = reshape(x, [batch, channels, height / size, size, width / size, size]);
    return reshape(permute(squares, [0, 2, 4, 1, 3, 5]), [batch, -1, channels * size * size]);
  }

  /** The way back: (batch, patches, channels · size²) -> (batch, channels, height, width). */
  function unpatchify(x, size, [height, width]) {
    const squares = reshape(x, [x.shape[0], height / size, width / size, -1, size, size]);
    return reshape(permute(squares, [0, 3, 1, 4, 2, 5]), [x.shape[0], -1, height, width]);
  }

  // ---- weights -----------------------------------------------------------------------------------------------

  /** The entries of a table whose names begin with `prefix`, without it: the weights of one part of a model. */
  function part(weights, prefix) {
    const entries = Object.entries(weights).filter(([name]) => name.startsWith(prefix));
    return Object.fromEntries(entries.map(([name, value]) => [name.slice(prefix.length), value]));
  }

  return {
    tensor, reshape, permute, transpose, slice, chunk, concat, mean,
    map, add, multiply, linear, matmul, embedding,
    relu, tanh, sigmoid, silu, gelu, softmax, layerNorm, groupNorm,
    attention, multiHeadAttention, conv2d, convTranspose2d, maxPool2d, patchify, unpatchify, part,
  };
})();
