// Rectified flow in the page: three networks that give a velocity, two solvers that follow it, and guidance.
// The same definitions as in course_lib/models/velocity.py and flow.py. Time t = 0 is noise, t = 1 is data.
"use strict";

window.courseFlow = (() => {
  const nn = window.courseNN;
  const NO_CLASS = 10;

  // ---- the velocity: images x (batch, 1, 8, 8), one time t, a class for each image -> like x -------------------

  /** Sines and cosines of a time: channel 2i is sin(ω t), channel 2i + 1 is cos(ω t), ω = 100^(2i / dim). */
  function timeEmbedding(t, dim) {
    const angle = (channel) => t * 100 ** ((channel - (channel % 2)) / dim);
    return nn.tensor([1, dim], Array.from({ length: dim }, (_, i) => (i % 2 ? Math.cos : Math.sin)(angle(i))));
  }

  /** Time and class as one vector for each image, (batch, dim). */
  function condition(weights, t, labels) {
    const dim = weights["condition.time.0.weight"].shape[1];
    const hidden = layer(timeEmbedding(t, dim), weights, "condition.time.0");
    const time = layer(nn.silu(hidden), weights, "condition.time.2"); // (1, dim)
    return nn.add(nn.embedding(labels, weights["condition.label.weight"]), time);
  }

  const layer = (x, weights, name) => nn.linear(x, weights[`${name}.weight`], weights[`${name}.bias`]);
  const norm = (x, weights, name) => nn.layerNorm(x, weights[`${name}.weight`], weights[`${name}.bias`]);

  /** The network on the image as a row of numbers: h ← h + W₂ SiLU(W₁ (LayerNorm(h) + condition)). */
  function residualMLP(weights, x, t, labels) {
    const given = condition(weights, t, labels);
    let h = layer(nn.reshape(x, [x.shape[0], -1]), weights, "input");
    for (let i = 0; `norms.${i}.weight` in weights; i++) {
      const inner = layer(nn.add(norm(h, weights, `norms.${i}`), given), weights, `blocks.${i}.0`);
      h = nn.add(h, layer(nn.silu(inner), weights, `blocks.${i}.2`));
    }
    return nn.reshape(layer(norm(h, weights, "norm"), weights, "output"), x.shape);
  }

  /** Twice: convolution, group normalisation, ReLU; the condition is added between the two, the same at each pixel. */
  function doubleConv(weights, x, given) {
    const half = (y, n) => {
      const filtered = nn.conv2d(y, weights[`conv${n}.weight`], null, { padding: 1 });
      return nn.relu(nn.groupNorm(filtered, 4, weights[`norm${n}.weight`], weights[`norm${n}.bias`]));
    };
    const steer = layer(given, weights, "condition"); // (batch, channels)
    return half(nn.add(half(x, 1), nn.reshape(steer, [...steer.shape, 1, 1])), 2);
  }

  /** Down by max pooling, up by transposed convolutions, and across by skip connections. */
  function unet(weights, x, t, labels) {
    const given = condition(weights, t, labels);
    const block = (y, name) => doubleConv(nn.part(weights, `network.${name}.`), y, given);
    const seen = [];
    for (let i = 0; `network.down.${i}.conv1.weight` in weights; i++) {
      seen.push(block(x, `down.${i}`));
      x = nn.maxPool2d(seen.at(-1), 2);
    }
    x = block(x, "bottom");
    for (let i = 0; seen.length; i++) {
      const up = `network.up.${i}`;
      x = nn.convTranspose2d(x, weights[`${up}.weight`], weights[`${up}.bias`], { stride: 2 });
      x = block(nn.concat([seen.pop(), x], 1), `merge.${i}`);
    }
    return nn.conv2d(x, weights["network.head.weight"], weights["network.head.bias"]);
  }

  /** Patches and positions, then blocks whose normalisations are steered by the condition. */
  function dit(weights, x, t, labels) {
    const given = nn.silu(condition(weights, t, labels));
    const size = 2;
    let h = nn.add(layer(nn.patchify(x, size), weights, "patch_embedding.projection"), weights.positions);
    for (let i = 0; `blocks.${i}.modulation.weight` in weights; i++) {
      const block = nn.part(weights, `blocks.${i}.`);
      const steer = layer(given, block, "modulation"); // (batch, 6 · d_model)
      const parts = nn.chunk(nn.reshape(steer, [steer.shape[0], 1, -1]), 6);
      const [shift1, scale1, gate1, shift2, scale2, gate2] = parts;
      const steered = (scale, shift) => nn.add(nn.multiply(nn.layerNorm(h), nn.map(scale, (s) => 1 + s)), shift);
      const seen = steered(scale1, shift1);
      const { output } = nn.multiHeadAttention(seen, seen, nn.part(block, "self_attention."), 4);
      h = nn.add(h, nn.multiply(output, gate1));
      const inner = nn.gelu(layer(steered(scale2, shift2), block, "feed_forward.0"));
      h = nn.add(h, nn.multiply(layer(inner, block, "feed_forward.2"), gate2));
    }
    return nn.unpatchify(layer(norm(h, weights, "norm"), weights, "output"), size, x.shape.slice(2));
  }

  // ---- guidance and solvers --------------------------------------------------------------------------------------

  /** v = v_uncond + w (v_cond - v_uncond); both are asked at once, as a batch of two. Without guidance, w = 1. */
  function guided(network, weights, label, weight) {
    if (weight === 1) return (x, t) => network(weights, x, t, [label]);
    return (x, t) => {
      const both = network(weights, nn.concat([x, x]), t, [label, NO_CLASS]);
      const [given, without] = nn.chunk(both, 2, 0);
      return nn.add(without, nn.map(nn.add(given, nn.map(without, (v) => -v)), (v) => weight * v));
    };
  }

  /** From x along v by h. */
  const walk = (x, v, h) => nn.add(x, nn.map(v, (speed) => h * speed));

  /**
   * Follow a velocity from t = 0 to 1 in equal steps, and give each place on the way: {x, t, v}, v the velocity with
   * which it is left (at the end: none). Euler goes with the velocity at the step's start, Heun with the mean of those
   * at both ends.
   */
  function* follow(velocity, x, steps, solver) {
    const h = 1 / steps;
    for (let step = 0; step < steps; step++) {
      const first = velocity(x, step * h);
      yield { x, t: step * h, v: first };
      let v = first;
      if (solver === "heun") {
        const second = velocity(walk(x, first, h), (step + 1) * h);
        v = nn.map(nn.add(first, second), (sum) => sum / 2);
      }
      x = walk(x, v, h);
    }
    yield { x, t: 1, v: null };
  }

  /** S: mean of |v_k - (x_1 - x_0)|² over |x_1 - x_0|², v_k the velocity of step k; 0 for a straight path. */
  function straightness(path) {
    const steps = path.length - 1;
    const [start, end] = [path[0].data, path[steps].data];
    let [bend, whole] = [0, 0];
    for (let i = 0; i < start.length; i++) {
      whole += (end[i] - start[i]) ** 2;
      for (let k = 0; k < steps; k++) {
        bend += ((path[k + 1].data[i] - path[k].data[i]) * steps - (end[i] - start[i])) ** 2 / steps;
      }
    }
    return bend / whole;
  }

  return { networks: { mlp: residualMLP, unet, dit }, guided, follow, walk, straightness };
})();
