/* Blanks in a text, and what models with different contexts would fill in.
   data: {text, blanks: [{position, answer, guesses: {"left to right": [[character, probability], ...],
   "right to left": [...], "both": [...]}}, ...]}. The text holds the answers too; a position counts characters
   from 0, as Python does; the guesses come most likely first. */
(root, data, palette, { element, visible, spoken, tint, onKeys }) => {
  const MODELS = ["left to right", "right to left", "both"];
  const characters = [...data.text];
  const blanks = [...data.blanks].sort((a, b) => a.position - b.position);
  for (const { position, answer, guesses } of blanks) {
    if (characters[position] !== answer) {
      throw new Error(`cloze: the text has '${characters[position]}' at position ${position}; ` +
        `expected the answer '${answer}'.`);
    }
    for (const model of MODELS) {
      if (!guesses[model]?.length) throw new Error(`cloze: position ${position} has no guesses '${model}'.`);
    }
  }
  if (!blanks.length) throw new Error("cloze: there are no blanks.");
  const state = { blank: 0, reader: null, answers: false };

  const percent = p => (p > 0 && p < 0.005 ? "<1%" : `${Math.round(100 * p)}%`);
  const isRead = (model, place) => {
    const { position } = blanks[state.blank];
    return (model !== "right to left" && place < position) || (model !== "left to right" && place > position);
  };
  const amount = count => `${count} character${count === 1 ? "" : "s"}`;
  const context = model => {
    const before = blanks[state.blank].position;
    const after = characters.length - 1 - before;
    return { "left to right": `the ${amount(before)} before it`, "right to left": `the ${amount(after)} after it`,
      "both": `all ${amount(before + after)} around it` }[model];
  };

  root.replaceChildren();
  root.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes the keys
  element("p", root, "Choose a blank. Point at a model, or focus it, to see what it has read; the other blanks are " +
    "blank for the models too.");
  const text = element("p", root);
  text.className = "cloze";
  // Characters in a row without a blank share an element, so that a word does not fall apart.
  const parts = [];
  const plain = (start, end) => {
    if (start < end) parts.push({ place: start, node: element("span", text, characters.slice(start, end).join("")) });
  };
  const slots = blanks.map(({ position }, i) => {
    plain(i ? blanks[i - 1].position + 1 : 0, position);
    const slot = element("span", text);
    slot.className = "blank";
    slot.tabIndex = 0;
    slot.setAttribute("role", "button");
    slot.addEventListener("click", () => pick(i));
    onKeys(slot, { Enter: () => pick(i), " ": () => pick(i) });
    parts.push({ place: position, node: slot });
    return slot;
  });
  plain(blanks[blanks.length - 1].position + 1, characters.length);

  const controls = element("div", root);
  controls.className = "turns";
  const button = (name, act) => {
    const node = element("button", controls, name);
    node.type = "button";
    node.addEventListener("click", act);
    return node;
  };
  const turn = by => pick((state.blank + by + blanks.length) % blanks.length);
  for (const node of [button("previous", () => turn(-1)), button("next", () => turn(1))]) {
    node.disabled = blanks.length === 1;
    node.setAttribute("aria-label", `${node.textContent} blank`);
  }
  const where = element("output", controls); // a screen reader says it when it changes
  const reveal = button("show the answers", () => {
    state.answers = !state.answers;
    draw();
  });

  const panels = element("div", root);
  panels.className = "charts";
  const charts = MODELS.map(model => {
    const chart = element("div", panels);
    chart.className = "chart";
    chart.tabIndex = 0;
    chart.setAttribute("role", "img");
    element("strong", chart, model);
    const read = element("span", chart);
    const bars = element("div", chart);
    // A finger has no hover: it focuses the chart.
    const reads = reader => () => {
      state.reader = reader;
      highlight();
    };
    chart.addEventListener("pointerenter", reads(model));
    chart.addEventListener("focus", reads(model));
    chart.addEventListener("pointerleave", reads(null));
    chart.addEventListener("blur", reads(null));
    return { model, chart, read, bars };
  });
  const right = model => blanks.filter(({ answer, guesses }) => guesses[model][0][0] === answer).length;
  element("p", root, `First choices that are right, of ${blanks.length}: ` +
    `${MODELS.map(model => `${model} ${right(model)}`).join(", ")}.`).className = "hits";

  const highlight = () => {
    for (const { place, node } of parts) {
      node.style.backgroundColor = state.reader && isRead(state.reader, place) ? tint(palette.accent, 0.8) : "";
    }
    for (const { model, chart } of charts) chart.classList.toggle("chosen", model === state.reader);
  };
  const draw = () => {
    slots.forEach((slot, i) => {
      const { answer } = blanks[i];
      slot.textContent = state.answers ? visible(answer) : "\u00a0"; // at a plain space the line may break
      slot.setAttribute("aria-label", `blank ${i + 1}${state.answers ? `, ${spoken(answer)}` : ""}`);
      slot.setAttribute("aria-pressed", i === state.blank);
    });
    reveal.setAttribute("aria-pressed", state.answers);
    where.textContent = `blank ${state.blank + 1} of ${blanks.length}`;
    const { answer, guesses } = blanks[state.blank];
    for (const { model, chart, read, bars } of charts) {
      read.textContent = `has read ${context(model)}`;
      chart.setAttribute("aria-label", `${model}, ${read.textContent}: ` + guesses[model].map(([character, p]) =>
        `${spoken(character)} ${percent(p)}${character === answer ? " (right)" : ""}`).join(", "));
      bars.replaceChildren();
      for (const [character, p] of guesses[model]) {
        const line = element("div", bars);
        line.className = character === answer ? "bar right" : "bar";
        element("b", line, visible(character));
        const bar = element("i", element("span", line));
        bar.style.width = `${100 * p}%`;
        bar.style.backgroundColor = character === answer ? palette.gru : palette.baseline;
        element("span", line, percent(p));
        element("span", line, character === answer ? "✓" : "");
      }
    }
    highlight();
  };
  const pick = blank => {
    state.blank = blank;
    draw();
  };
  draw();
}
