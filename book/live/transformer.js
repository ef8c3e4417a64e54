// The transformers of chapters 5 and 6: blocks, sinusoidal positions, the translator, the language model.
"use strict";

(() => {
  const { add, concat, embedding, layerNorm, linear, multiHeadAttention, part, relu, reshape, slice, tensor } = courseNN;

  /** 1 where position j may be seen from position i, (n, n): itself and the past. */
  function causalMask(n) {
    const mask = tensor([n, n]);
    for (let i = 0; i < n; i++) mask.data.fill(1, i * n, i * n + i + 1);
    return mask;
  }

  /** Channel 2i is sin(p / 10000^(2i / d_model)), channel 2i + 1 the cosine; (length, d_model). */
  function sinusoidalPositions(length, width) {
    const positions = tensor([length, width]);
    for (let p = 0; p < length; p++) {
      for (let i = 0; i < width; i += 2) {
        const angle = p / 10000 ** (i / width);
        positions.data[p * width + i] = Math.sin(angle);
        positions.data[p * width + i + 1] = Math.cos(angle);
      }
    }
    return positions;
  }

  /** LayerNorm(x + change), with the weights of one of a block's norms. */
  const addAndNorm = (x, change, block, name) => layerNorm(add(x, change), block[`${name}.weight`], block[`${name}.bias`]);

  /** max(0, x W_1 + b_1) W_2 + b_2 */
  function feedForward(x, weights) {
    const hidden = relu(linear(x, weights["linear1.weight"], weights["linear1.bias"]));
    return linear(hidden, weights["linear2.weight"], weights["linear2.bias"]);
  }

  /** x (1, n, d_model) through self-attention and the feed-forward network, each followed by "add & norm". */
  function encoderBlock(x, block, heads, mask) {
    const { output } = multiHeadAttention(x, x, part(block, "self_attention."), heads, mask);
    const seen = addAndNorm(x, output, block, "norm1");
    return addAndNorm(seen, feedForward(seen, part(block, "feed_forward.")), block, "norm2");
  }

  /** As the encoder's block, with attention to the memory (1, m, d_model) between; also its weights (1, heads, n, m). */
  function decoderBlock(x, memory, block, heads, mask) {
    const own = multiHeadAttention(x, x, part(block, "self_attention."), heads, mask);
    const before = addAndNorm(x, own.output, block, "norm1");
    const cross = multiHeadAttention(before, memory, part(block, "cross_attention."), heads);
    const seen = addAndNorm(before, cross.output, block, "norm2");
    return { x: addAndNorm(seen, feedForward(seen, part(block, "feed_forward.")), block, "norm3"), weights: cross.weights };
  }

  /** Vectors of ids with their positions added, (1, n, d_model). */
  function embedded(ids, weight) {
    const x = add(embedding(ids, weight), sinusoidalPositions(ids.length, weight.shape[1]));
    return reshape(x, [1, ...x.shape]);
  }

  const layers = (count) => Array.from({ length: count }, (_, number) => number);

  /** The translator, as those of recurrent.js; its state is all that was written. One table for each layer and head. */
  function beginTransformer(ids, weights, { num_heads: heads, num_layers: count }) {
    const model = part(weights, "model.");
    let memory = embedded(ids, model["source_embedding.weight"]);
    for (const layer of layers(count)) memory = encoderBlock(memory, part(model, `encoder.${layer}.`), heads);
    const step = (token, before) => {
      const written = [...before, token];
      const last = written.length - 1;
      let x = embedded(written, model["target_embedding.weight"]);
      const rows = [];
      for (const layer of layers(count)) {
        const found = decoderBlock(x, memory, part(model, `decoder.${layer}.`), heads, causalMask(written.length));
        x = found.x;
        rows.push(reshape(slice(found.weights, last, last + 1, 2), [heads, ids.length]));
      }
      const logits = linear(reshape(slice(x, last, last + 1, 1), [1, -1]), model["output.weight"], model["output.bias"]);
      return { logits, state: written, weights: concat(rows) }; // (layers * heads, m)
    };
    return { step, state: [] };
  }

  /** The language model: the logits of the token after each of ids, (length, vocabulary). */
  function languageModel(ids, weights, { num_heads: heads, num_layers: count }) {
    const places = slice(weights["position_embedding.weight"], 0, ids.length);
    let x = add(embedding(ids, weights["token_embedding.weight"]), places);
    x = reshape(x, [1, ...x.shape]);
    for (const layer of layers(count)) x = encoderBlock(x, part(weights, `blocks.${layer}.`), heads, causalMask(ids.length));
    return linear(reshape(x, [ids.length, -1]), weights["output.weight"], weights["output.bias"]);
  }

  Object.assign(courseNN, { encoderBlock, decoderBlock, sinusoidalPositions, beginTransformer, languageModel });
})();
