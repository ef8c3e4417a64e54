// From logits to a choice, as chapters 2 and 6 do it: the likeliest token, or a draw from a distribution.
"use strict";

(() => {
  const { softmax, tensor } = courseNN;

  const likeliest = (logits) => logits.data.reduce((best, value, i) => (value > logits.data[best] ? i : best), 0);

  /**
   * Write the likeliest word at each step, and read it at the next, until `end` comes. `begun` is a translator's
   * {step, state}. Gives the ids without `end`, and each step's logits and weights, that of `end` included.
   */
  function greedyDecode(begun, { start, end, maxLength }) {
    const ids = [];
    const steps = [];
    let token = start;
    let state = begun.state;
    while (steps.length < maxLength) {
      const found = begun.step(token, state);
      state = found.state;
      token = likeliest(found.logits);
      steps.push({ logits: found.logits, weights: found.weights });
      if (token === end) break;
      ids.push(token);
    }
    return { ids, steps };
  }

  /** The distribution to draw from, from logits (an array): temperature first, then top-k, then top-p of what is left. */
  function nextProbabilities(logits, { temperature = 1, topK = Infinity, topP = 1 } = {}) {
    const heated = softmax(tensor([logits.length], logits.map((value) => value / temperature))).data;
    const order = Array.from(heated.keys()).sort((a, b) => heated[b] - heated[a]); // the likeliest first
    const smallest = heated[order[Math.min(topK, order.length) - 1]];
    const kept = order.filter((i) => heated[i] >= smallest); // what equals the k-th stays too
    const all = kept.reduce((sum, i) => sum + heated[i], 0);
    const result = new Float32Array(heated.length);
    let before = 0; // what the likelier tokens hold together
    let total = 0;
    for (const i of kept) {
      if (before / all >= topP) break;
      before += heated[i];
      total += result[i] = heated[i];
    }
    return result.map((value) => value / total);
  }

  /** A source of chance of its own, from a seed: each call gives a number from 0 up to 1 (mulberry32). */
  function generator(seed) {
    let state = seed >>> 0;
    return () => {
      state = (state + 0x6d2b79f5) >>> 0;
      let mixed = Math.imul(state ^ (state >>> 15), state | 1);
      mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
      return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
    };
  }

  /** Draw an index by its probability, with one number from `chance`. */
  function draw(probabilities, chance) {
    let left = chance();
    let last = 0;
    for (const [i, probability] of probabilities.entries()) {
      if (probability === 0) continue;
      last = i;
      left -= probability;
      if (left < 0) break;
    }
    return last;
  }

  Object.assign(courseNN, { greedyDecode, nextProbabilities, generator, draw });
})();
