/* Which cells of a deep or bidirectional network `output` and `h_n` hold, and where.
   data: {num_steps, batch, num_hiddens, rnn: "RNN", "GRU" or "LSTM"}. */
(root, data, palette, { make, element, choices, verdict, onKeys, onWidth }) => {
  const LEFT = 56, STEP = 54, HEIGHT = 26, BETWEEN = 10, APART = 30, PAD = 6, GAP = 8, LAYERS = [1, 2, 3];
  const { num_steps: steps, batch, num_hiddens: hiddens } = data;
  if (!["RNN", "GRU", "LSTM"].includes(data.rnn)) {
    throw new Error(`output_and_state: rnn is ${data.rnn}; expected RNN, GRU or LSTM.`);
  }
  const color = palette[data.rnn.toLowerCase()] + "bf";
  const state = { layers: 2, directions: 2, batchFirst: false, layer: 1, direction: 1, step: 0 };

  const isTop = layer => layer === state.layers - 1;
  const isLast = (direction, step) => step === (direction ? 0 : steps - 1);
  // The expressions for one cell, as Python has them; an empty text where it is not held.
  const inOutput = ({ layer, direction, step }) => {
    if (!isTop(layer)) return "";
    const first = state.batchFirst ? `:, ${step}` : step;
    if (state.directions === 1) return `output[${first}]`;
    return `output[${first}${state.batchFirst ? "" : ", :"}, ${direction ? `${hiddens}:` : `:${hiddens}`}]`;
  };
  const inState = ({ layer, direction, step }) =>
    isLast(direction, step) ? `h_n[${state.directions * layer + direction}]` : "";
  const place = ({ layer, direction, step }) =>
    `layer ${layer + 1} of ${state.layers}, ${direction ? "backward" : "forward"}, step ${step}`;
  const holders = cell => {
    const [output, final] = [inOutput(cell), inState(cell)];
    if (output && final) return `\`${output}\` and \`${final}\``;
    if (output) return `\`${output}\`, not in \`h_n\``;
    if (final) return `\`${final}\`, not in \`output\``;
    const next = cell.step + (cell.direction ? -1 : 1);
    return `in neither; only layer ${cell.layer + 2} and step ${next} of this row read it`;
  };
  const shapes = () => {
    const { layers, directions, batchFirst } = state;
    const order = (a, b, c) => (batchFirst ? [b, a, c] : [a, b, c]);
    return [
      ["output", order("num_steps", "batch", "directions * num_hiddens"), order(steps, batch, directions * hiddens)],
      ["h_n", ["layers * directions", "batch", "num_hiddens"], [layers * directions, batch, hiddens]],
    ];
  };
  const comparison = () => {
    const last = state.batchFirst ? "output[:, -1]" : "output[-1]";
    const turned = state.batchFirst ? " `batch_first` turns the input and `output` around, never `h_n`." : "";
    if (state.directions === 1) return `\`h_n[-1] == ${last}\`: yes, true for every number.${turned}`;
    const back = inOutput({ layer: state.layers - 1, direction: 1, step: 0 });
    return `\`h_n[-1] == ${last}\`: no. \`h_n[-1]\` is the backward direction at step 0: \`${back}\`.${turned}`;
  };
  const whole = text => text.replace(/ /g, "\u00a0"); // a line may break between axes, not within one
  // What stands between backticks is code.
  const say = (node, text) => {
    node.replaceChildren();
    text.split("`").forEach((part, i) => {
      if (i % 2) element("span", node, part).className = "mono";
      else node.append(part);
    });
  };

  root.replaceChildren();
  root.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes the arrow keys
  element("p", root, "Click a cell, or focus the drawing and use the arrow keys.");
  const controls = element("div", root);
  controls.className = "controls";
  const numbers = (key, name, options) => {
    const group = element("div", controls);
    group.className = "named";
    element("span", group, name);
    return choices(group, name, options, i => {
      state[key] = options[i];
      state.layer = Math.min(state.layer, state.layers - 1);
      state.direction = Math.min(state.direction, state.directions - 1);
      draw();
    }).map((button, i) => ({ button, key, value: options[i] }));
  };
  const buttons = [...numbers("layers", "layers", LAYERS), ...numbers("directions", "directions", [1, 2])];
  const label = element("label", controls);
  const box = element("input", label);
  box.type = "checkbox";
  element("span", label, "batch_first").className = "mono";

  const beside = element("div", root);
  beside.className = "beside";
  const left = element("div", beside);
  const svg = make("svg", { role: "listbox", "aria-label": "the hidden states: steps from left to right, " +
    "layers from bottom to top" }, left);
  const right = element("div", beside);
  const legend = element("ul", right);
  legend.className = "legend";
  for (const [name, filled, outlined] of [["in output", true, false], ["in h_n", false, true],
    ["in both", true, true], ["in neither", false, false]]) {
    const item = element("li", legend);
    const swatch = element("i", item);
    if (filled) swatch.style.backgroundColor = color;
    if (outlined) swatch.style.boxShadow = `0 0 0 3px ${palette.alarm}`;
    item.append(name);
  }
  const shape = element("div", right);
  shape.className = "mono";
  const reading = element("p", root);
  reading.className = "held";
  const summary = verdict(root);

  let width, cells;
  const arrow = (parent, x1, y1, x2, y2) => {
    const [dx, dy] = [4 * Math.sign(x2 - x1), 4 * Math.sign(y2 - y1)];
    make("path", { fill: "none", stroke: "currentColor", "stroke-opacity": 0.6, "stroke-width": 1.5,
      d: `M${x1} ${y1}L${x2} ${y2}M${x2 - dx - dy} ${y2 - dy - dx}L${x2} ${y2}L${x2 - dx + dy} ${y2 - dy + dx}` },
    parent);
  };
  const plot = () => {
    const { layers, directions } = state;
    const held = svg.querySelector(":focus");
    const step = Math.min(STEP, (width - LEFT - PAD) / steps);
    const size = 0.7 * step; // the rest is for the arrow
    const x = i => LEFT + PAD + step * i;
    const group = directions * (HEIGHT + BETWEEN) - BETWEEN;
    const top = layer => PAD + 2 + (layers - 1 - layer) * (group + APART);
    const bottom = top(0) + group;
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${bottom + APART + 20}`);

    const behind = make("g", { "aria-hidden": "true" }, svg);
    for (let layer = 0; layer < layers; layer++) {
      make("rect", { x: LEFT, y: top(layer) - PAD, width: step * (steps - 1) + size + 2 * PAD,
        height: group + 2 * PAD, rx: 6, fill: "currentColor", "fill-opacity": 0.06 }, behind);
      make("text", { x: 0, y: top(layer) + group / 2 + 5 }, behind, `layer ${layer + 1}`);
      for (let i = 0; i < steps; i++) {
        const middle = x(i) + size / 2;
        arrow(behind, middle, top(layer) + group + APART - GAP, middle, top(layer) + group + GAP);
      }
    }
    make("text", { x: 0, y: bottom + APART + 8 }, behind, "step");
    for (let i = 0; i < steps; i++) {
      make("text", { x: x(i) + size / 2, y: bottom + APART + 8, "text-anchor": "middle" }, behind, i);
    }

    cells = [];
    for (let layer = 0; layer < layers; layer++) {
      for (let direction = 0; direction < directions; direction++) {
        const y = top(layer) + (directions - 1 - direction) * (HEIGHT + BETWEEN);
        for (let i = 0; i < steps; i++) {
          const cell = { layer, direction, step: i };
          const [filled, outlined] = [inOutput(cell), inState(cell)];
          const spoken = `${place(cell)}: ${holders(cell).replace(/`/g, "")}`;
          const node = make("g", { role: "option", "aria-label": spoken }, svg);
          make("rect", { class: "ring", x: x(i) - 4, y: y - 4, width: size + 8, height: HEIGHT + 8, rx: 6 }, node);
          make("rect", { class: "unit", x: x(i), y, width: size, height: HEIGHT, rx: 4,
            fill: filled ? color : "transparent", stroke: outlined ? palette.alarm : "currentColor",
            "stroke-width": outlined ? 3.5 : 1, "stroke-opacity": outlined ? 1 : 0.5 }, node);
          if (i > 0) {
            const ends = [x(i) - 0.24 * step, x(i) - 0.08 * step];
            if (direction) ends.reverse();
            arrow(behind, ends[0], y + HEIGHT / 2, ends[1], y + HEIGHT / 2);
          }
          node.addEventListener("focus", () => pick(cell));
          node.addEventListener("click", () => pick(cell)); // a click need not focus an SVG element
          cells.push({ ...cell, node });
        }
      }
    }
    mark();
    if (held) chosen().node.focus();
  };
  const chosen = () => cells.find(cell => ["layer", "direction", "step"].every(key => cell[key] === state[key]));
  const mark = () => {
    for (const { node } of cells) {
      node.setAttribute("tabindex", -1);
      node.setAttribute("aria-selected", false);
    }
    chosen().node.setAttribute("tabindex", 0);
    chosen().node.setAttribute("aria-selected", true);
    say(reading, `${place(state)}: ${holders(state)}`);
  };
  const draw = () => {
    for (const { button, key, value } of buttons) button.setAttribute("aria-pressed", state[key] === value);
    plot();
    shape.replaceChildren();
    for (const [name, axes, numbers] of shapes()) {
      const sizes = `= (${numbers.join(", ")})`;
      element("p", shape, `${name} (${axes.map(whole).join(", ")}) ${whole(sizes)}`).dataset.value = name;
    }
    say(summary, comparison());
  };
  const pick = ({ layer, direction, step }) => {
    Object.assign(state, { layer, direction, step });
    mark();
  };
  // Up and down go through the rows as they are drawn, h_n[0] at the bottom.
  const go = (rows, columns) => {
    const row = state.directions * state.layer + state.direction + rows;
    const step = state.step + columns;
    const cell = step >= 0 && step < steps && cells[row * steps + step];
    if (cell) cell.node.focus();
  };
  onKeys(svg, { ArrowRight: () => go(0, 1), ArrowLeft: () => go(0, -1), ArrowUp: () => go(1, 0),
    ArrowDown: () => go(-1, 0), Home: () => go(0, -state.step), End: () => go(0, steps - 1 - state.step) });
  box.addEventListener("change", () => {
    state.batchFirst = box.checked;
    draw();
  });
  onWidth(svg, pixels => {
    width = pixels;
    draw();
  });
}
