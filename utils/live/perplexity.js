/* Perplexity, three ways. data: {batches: [{loss, tokens}, ...], max_loss}, losses in nats. */
(root, data, palette, { make, element, row, verdict }) => {
  const LEFT = 44, TOP = 14, HEIGHT = 170, WIDTH = 376, GAP = 8, STEP = 0.05;
  const start = data.batches.map(batch => batch.loss);
  const losses = [...start];
  const tokens = data.batches.map(batch => batch.tokens);
  const total = tokens.reduce((a, b) => a + b, 0);
  const y = loss => TOP + HEIGHT * (1 - loss / data.max_loss);

  root.replaceChildren();
  element("p", root, "Drag a bar, or focus it and use the arrow keys, to change the loss of that batch. " +
    "A bar is as wide as its batch has characters.");
  const svg = make("svg", { viewBox: `0 0 ${LEFT + WIDTH} ${TOP + HEIGHT + 40}`, role: "group",
    "aria-label": "The loss of each batch, in nats a character" }, root);
  for (let tick = 0; tick <= data.max_loss; tick++) {
    make("line", { x1: LEFT, x2: LEFT + WIDTH, y1: y(tick), y2: y(tick), stroke: palette.baseline,
      "stroke-opacity": 0.35 }, svg);
    make("text", { x: LEFT - 8, y: y(tick) + 4, "text-anchor": "end" }, svg, tick);
  }
  make("text", { x: 12, y: TOP + HEIGHT / 2, transform: `rotate(-90 12 ${TOP + HEIGHT / 2})`,
    "text-anchor": "middle" }, svg, "loss (nats)");

  let x = LEFT + GAP;
  const room = WIDTH - GAP * (losses.length + 1);
  const bars = losses.map((_, i) => {
    const width = room * tokens[i] / total;
    const group = make("g", { role: "slider", tabindex: 0, "aria-orientation": "vertical",
      "aria-valuemin": 0, "aria-valuemax": data.max_loss, "aria-label": `loss of batch ${i + 1}` }, svg);
    make("rect", { x, y: TOP, width, height: HEIGHT, fill: "transparent" }, group);
    const bar = make("rect", { x, width, fill: palette.accent, "fill-opacity": 0.75 }, group);
    const grip = make("rect", { class: "grip", x, width, height: 8, rx: 3, fill: palette.ink }, group);
    const label = make("text", { x: x + width / 2, "text-anchor": "middle" }, group);
    const handle = make("rect", { class: "handle", x, width, height: 44, fill: "transparent" }, group);
    make("text", { x: x + width / 2, y: TOP + HEIGHT + 18, "text-anchor": "middle" }, svg, tokens[i]);
    x += width + GAP;
    return { group, bar, grip, label, handle };
  });
  make("text", { x: LEFT + WIDTH / 2, y: TOP + HEIGHT + 36, "text-anchor": "middle" }, svg,
    "characters in the batch");

  const table = element("table", root);
  const rows = [
    ["total", "exp of (total loss / number of characters)"],
    ["mean", "exp of the mean of the batch losses"],
    ["exps", "mean of the exp of the batch losses"],
  ].map(([key, name]) => row(table, name, key));
  const summary = verdict(root);

  const numbers = () => {
    const n = losses.length;
    return [
      Math.exp(losses.reduce((sum, loss, i) => sum + loss * tokens[i], 0) / total),
      Math.exp(losses.reduce((sum, loss) => sum + loss, 0) / n),
      losses.reduce((sum, loss) => sum + Math.exp(loss), 0) / n,
    ];
  };
  const draw = () => {
    losses.forEach((loss, i) => {
      const { group, bar, grip, label, handle } = bars[i];
      bar.setAttribute("y", y(loss));
      bar.setAttribute("height", y(0) - y(loss));
      grip.setAttribute("y", y(loss) - 4);
      handle.setAttribute("y", y(loss) - 22);
      label.setAttribute("y", loss > 0.85 * data.max_loss ? y(loss) + 20 : y(loss) - 9);
      label.textContent = loss.toFixed(2);
      group.setAttribute("aria-valuenow", loss.toFixed(2));
      group.setAttribute("aria-valuetext", `${loss.toFixed(2)} nats`);
    });
    const values = numbers();
    rows.forEach((output, i) => { output.textContent = values[i].toFixed(3); });
    const excess = 100 * (values[2] / values[0] - 1);
    const size = Math.abs(excess);
    summary.textContent = losses.every(loss => loss === losses[0])
      ? "All three agree: every batch has the same loss."
      : `The first line is the perplexity. The last one is ${size.toFixed(size < 1 ? 2 : 0)}% too ` +
        `${excess > 0 ? "high" : "low"}.`;
  };
  const set = (i, loss) => {
    losses[i] = Math.min(data.max_loss, Math.max(0, Math.round(loss / STEP) * STEP));
    draw();
  };

  bars.forEach(({ group, handle }, i) => {
    const follow = event => {
      const box = svg.getBoundingClientRect();
      const place = (event.clientY - box.top) * (TOP + HEIGHT + 40) / box.height;
      set(i, data.max_loss * (1 - (place - TOP) / HEIGHT));
    };
    group.addEventListener("pointerdown", event => {
      // A finger beside the handle scrolls the page; a mouse may grab the whole column.
      if (event.button !== 0 || (event.pointerType === "touch" && event.target !== handle)) return;
      group.setPointerCapture(event.pointerId);
      group.focus();
      follow(event);
      event.preventDefault();
    });
    group.addEventListener("pointermove", event => {
      if (group.hasPointerCapture(event.pointerId)) follow(event);
    });
    group.addEventListener("keydown", event => {
      const moves = { ArrowUp: STEP, ArrowRight: STEP, ArrowDown: -STEP, ArrowLeft: -STEP,
        PageUp: 10 * STEP, PageDown: -10 * STEP, Home: -losses[i], End: data.max_loss - losses[i] };
      if (!(event.key in moves)) return;
      set(i, losses[i] + moves[event.key]);
      event.preventDefault();
      event.stopPropagation();
    });
  });
  const button = (text, values) => {
    const node = element("button", root, text);
    node.type = "button";
    node.addEventListener("click", () => { values.forEach((value, i) => set(i, value)); });
  };
  button("Start again", start);
  button("All batches equal", start.map(() => 2));
  button("One bad batch", start.map((_, i) => (i === 0 ? 3.5 : 1.5)));
  draw();
}
