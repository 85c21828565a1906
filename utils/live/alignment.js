/* Where a decoder with attention looks while it writes each character.
   data: {examples: [{source, output, weights: [a row for each character of the output: a number for each one of
   the source]}, ...]}. */
(root, data, palette, { element, visible, spoken, tint, row, onKeys }) => {
  const MOST = 3, SIDES = ["source", "output"];
  const examples = data.examples.map(({ source, output, weights }) => {
    const sides = { source: [...source], output: [...output] };
    if (weights.length !== sides.output.length || weights.some(row => row.length !== sides.source.length)) {
      throw new Error(`alignment: the weights of '${source}' must hold ${sides.source.length} numbers for each of ` +
        `${sides.output.length} characters of the output.`);
    }
    return { ...sides, weights };
  });
  const state = { example: 0, side: "output", places: { source: 0, output: 0 } };

  const other = side => (side === "output" ? "source" : "output");
  // How much each character of the other side has to do with the one at `place` of this side.
  const related = (side, place) => {
    const { weights } = examples[state.example];
    return side === "output" ? weights[place] : weights.map(row => row[place]);
  };
  const most = (side, place) => related(side, place).map((weight, i) => ({ weight, i }))
    .sort((a, b) => b.weight - a.weight).slice(0, MOST);
  const named = (side, place) => {
    const character = examples[state.example][side][place];
    return spoken(character) === character ? `'${character}'` : spoken(character);
  };

  root.replaceChildren();
  root.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes the arrow keys
  element("p", root, "Point at a character, or focus a line and use the arrow keys: what is shaded on the other line " +
    "is where the decoder looked.");
  if (examples.length > 1) {
    const controls = element("div", root);
    controls.className = "controls";
    const select = element("select", element("label", controls, "example "));
    select.setAttribute("aria-label", "example");
    data.examples.forEach(({ source }, i) => { element("option", select, source).value = i; });
    select.addEventListener("change", () => {
      Object.assign(state, { example: Number(select.value), side: "output", places: { source: 0, output: 0 } });
      draw();
    });
  }
  const lines = Object.fromEntries(SIDES.map(side => {
    element("div", root, side).className = "name";
    const line = element("div", root);
    line.className = "cells tiles";
    line.setAttribute("role", "listbox");
    line.setAttribute("aria-orientation", "horizontal");
    line.setAttribute("aria-label", `the characters of the ${side}`);
    return [side, line];
  }));
  const scale = element("div", root);
  scale.className = "scale";
  scale.setAttribute("role", "img");
  scale.setAttribute("aria-label", "the colors, from weight 0 to weight 1");
  const [, ramp] = ["0", "", "1"].map((end, i) => element(i === 1 ? "i" : "span", scale, end));
  ramp.style.backgroundImage = `linear-gradient(to right, ${tint(palette.gru, 0)}, ${tint(palette.gru, 1)})`;
  const reading = element("p", root);
  const table = element("table", root);
  table.className = "narrow";

  const mark = () => {
    const { side, places } = state;
    const place = places[side];
    for (const each of SIDES) {
      [...lines[each].children].forEach((cell, i) => {
        cell.tabIndex = i === places[each] ? 0 : -1;
        cell.setAttribute("aria-selected", each === side && i === place);
        cell.style.backgroundColor = each === side ? "" : tint(palette.gru, related(side, place)[i]);
      });
    }
    reading.textContent = side === "output"
      ? `When it writes ${named(side, place)}, character ${place + 1} of the output, the decoder looks most at`
      : `At ${named(side, place)}, character ${place + 1} of the source, the decoder looks most when it writes`;
    table.replaceChildren();
    for (const { weight, i } of most(side, place)) {
      row(table, `${named(other(side), i)}, character ${i + 1}`, i).textContent = weight.toFixed(2);
    }
  };
  const pick = (side, place) => {
    if (side === state.side && place === state.places[side]) return;
    state.side = side;
    state.places[side] = place;
    mark();
  };
  const draw = () => {
    for (const side of SIDES) {
      lines[side].replaceChildren();
      examples[state.example][side].forEach((character, place) => {
        const cell = element("span", lines[side], visible(character));
        cell.setAttribute("role", "option");
        const [{ weight, i }] = most(side, place);
        const partner = `${named(other(side), i)}, ${weight.toFixed(2)}`;
        cell.setAttribute("aria-label", `${spoken(character)}, most with ${partner}`);
        if (visible(character) !== character) cell.className = "space";
      });
    }
    mark();
  };
  for (const side of SIDES) {
    const line = lines[side];
    const follow = event => {
      const place = [...line.children].indexOf(event.target);
      if (place >= 0) pick(side, place);
    };
    line.addEventListener("pointermove", event => { if (event.pointerType === "mouse") follow(event); });
    line.addEventListener("click", follow); // a finger picks by tapping: when it moves, it scrolls the page
    line.addEventListener("focusin", follow);
    const go = place => line.children[place]?.focus();
    onKeys(line, { ArrowRight: () => go(state.places[side] + 1), ArrowLeft: () => go(state.places[side] - 1),
      Home: () => go(0), End: () => go(line.children.length - 1) });
  }
  draw();
}
