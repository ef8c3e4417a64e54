// The recurrent translators of chapters 2 and 3: an LSTM's step, the encoder, three decoders.
//
// A batch holds one sentence: vectors are rows of shape (1, width), a sentence is (length, width).
"use strict";

(() => {
  const { add, chunk, concat, embedding, linear, matmul, multiply, part, sigmoid, slice, softmax, tanh, tensor, transpose } =
    courseNN;

  /** One step of an LSTM: x (1, input), state {h, c} of (1, hidden) each -> the new state. */
  function lstmStep(x, state, weights, suffix = "_l0") {
    const gates = add(
      linear(x, weights[`weight_ih${suffix}`], weights[`bias_ih${suffix}`]),
      linear(state.h, weights[`weight_hh${suffix}`], weights[`bias_hh${suffix}`]),
    ); // (1, 4 * hidden)
    const [input, forget, candidate, output] = chunk(gates, 4);
    const c = add(multiply(sigmoid(forget), state.c), multiply(sigmoid(input), tanh(candidate)));
    return { h: multiply(sigmoid(output), tanh(c)), c };
  }

  /** Walk an LSTM along x (length, input), or from its end. Gives each h (length, hidden) and the last state. */
  function walk(x, weights, suffix, backwards) {
    const hidden = weights[`weight_hh${suffix}`].shape[1];
    let state = { h: tensor([1, hidden]), c: tensor([1, hidden]) };
    const states = [];
    for (let i = 0; i < x.shape[0]; i++) {
      const time = backwards ? x.shape[0] - 1 - i : i;
      state = lstmStep(slice(x, time, time + 1), state, weights, suffix);
      states[time] = state.h;
    }
    return { states: concat(states), state };
  }

  /** Read ids in one direction or, where there are weights for it, in two that stand side by side. */
  function encode(ids, weights) {
    const x = embedding(ids, weights["embedding.weight"]); // (length, d_model)
    const rnn = part(weights, "rnn.");
    const runs = [walk(x, rnn, "_l0", false)];
    if ("weight_ih_l0_reverse" in rnn) runs.push(walk(x, rnn, "_l0_reverse", true));
    const sideBySide = (name) => concat(runs.map((run) => run.state[name]), -1);
    return {
      memory: concat(runs.map((run) => run.states), -1), // (length, hidden of all directions)
      state: { h: sideBySide("h"), c: sideBySide("c") },
    };
  }

  /** The states of the encoder (m, d), summed by the softmax of their scores (1, m). */
  function look(scores, memory) {
    const weights = softmax(scores);
    return { weights, context: matmul(weights, memory) }; // (1, m), (1, d)
  }

  // Each translator reads ids once and gives {step, state}; step(token, state) gives {logits, state, weights}:
  // logits (1, vocabulary), weights (tables, m) of the attention, or none.

  /** One vector between the two networks, fed to every step. */
  function beginFixed(ids, weights) {
    const { state } = encode(ids, part(weights, "encoder."));
    const decoder = part(weights, "decoder.");
    const context = state.h;
    const step = (token, before) => {
      const x = concat([embedding([token], decoder["embedding.weight"]), context], -1);
      const after = lstmStep(x, before, part(decoder, "rnn."));
      return { logits: linear(after.h, decoder["output.weight"], decoder["output.bias"]), state: after };
    };
    return { step, state };
  }

  /** e_j = vᵀ tanh(W [s; h_j] + b), asked by the previous state, before the cell. */
  function beginBahdanau(ids, weights) {
    const { memory, state } = encode(ids, part(weights, "encoder."));
    const decoder = part(weights, "decoder.");
    const both = decoder["attention.weight"]; // (d_attention, hidden + d_memory)
    const hidden = state.h.shape[1];
    const forQuery = slice(both, 0, hidden, 1);
    const keys = linear(memory, slice(both, hidden, both.shape[1], 1), decoder["attention.bias"]); // (m, d_attention)
    const step = (token, before) => {
      const seen = tanh(add(keys, linear(before.h, forQuery))); // (m, d_attention)
      const found = look(transpose(linear(seen, decoder["v.weight"])), memory);
      const x = concat([embedding([token], decoder["embedding.weight"]), found.context], -1);
      const after = lstmStep(x, before, part(decoder, "rnn."));
      const logits = linear(concat([after.h, found.context], -1), decoder["output.weight"], decoder["output.bias"]);
      return { logits, state: after, weights: found.weights };
    };
    return { step, state };
  }

  /** e_j = sᵀ W h_j, asked by the current state, behind the cell. */
  function beginLuong(ids, weights) {
    const { memory, state } = encode(ids, part(weights, "encoder."));
    const decoder = part(weights, "decoder.");
    const step = (token, before) => {
      const after = lstmStep(embedding([token], decoder["embedding.weight"]), before, part(decoder, "rnn."));
      const query = matmul(after.h, decoder["attention.weight"]); // (1, d_memory)
      const found = look(linear(query, memory), memory);
      const joined = tanh(linear(concat([found.context, after.h], -1), decoder["combine.weight"]));
      return {
        logits: linear(joined, decoder["output.weight"], decoder["output.bias"]),
        state: after,
        weights: found.weights,
      };
    };
    return { step, state };
  }

  Object.assign(courseNN, { lstmStep, encode, beginFixed, beginBahdanau, beginLuong });
})();
