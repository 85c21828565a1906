/* The gates and states of one unit at each character of a text.
   data: {text, units: [name, ...], color: a key of the palette, formula: "h = (1 - {z}) · {n} + ...; ...",
   quantities: [{key, name, low, high}, ...], values: {key: [[a number per character] per unit]}, start: 0}.
   A quantity with low >= 0 is a gate, written 0.42; all else has a sign, +0.42. The parts of the formula
   between semicolons stand on lines of their own; its keys need not be quantities. */
(root, data, palette, { make, element, visible, spoken, tint, choices, onKeys, onWidth }) => {
  const LEFT = 34, RIGHT = 12, TOP = 14, HEIGHT = 110, BOTTOM = 34, APART = 15;
  const { units, quantities, values } = data;
  const characters = [...data.text];
  const formula = data.formula.split(/;\s*/).map(part => part.split(/\{(\w+)\}/)); // text, key, text, ...
  const keys = formula.flatMap(parts => parts.filter((_, i) => i % 2));
  for (const key of new Set([...quantities.map(({ key }) => key), ...keys])) {
    const rows = values[key] || [];
    if (rows.length !== units.length || rows.some(row => row.length !== characters.length)) {
      throw new Error(`gates: values.${key} must hold ${characters.length} numbers for each of ` +
        `${units.length} units.`);
    }
  }
  const state = { unit: 0, quantity: 0, place: data.start || 0 };

  const clamp = (value, low, high) => Math.min(high, Math.max(low, value));
  const signed = key => !quantities.some(quantity => quantity.key === key && quantity.low >= 0);
  const written = (key, value) => {
    const size = Math.abs(value).toFixed(2);
    const minus = value < 0 && Number(size) !== 0;
    return (minus ? "-" : signed(key) ? "+" : "") + size;
  };
  const shade = (value, { low, high }) => {
    if (low >= 0) return tint(palette[data.color], (value - low) / (high - low));
    return value > 0 ? tint(palette.lstm, value / high) : tint(palette.rnn, value / low);
  };

  root.replaceChildren();
  root.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes the arrow keys
  element("p", root, "Point at a character, or focus the text and use the arrow keys.");
  const controls = element("div", root);
  controls.className = "controls";
  const label = element("label", controls, "hidden unit ");
  const select = element("select", label);
  select.setAttribute("aria-label", "hidden unit");
  units.forEach((unit, i) => { element("option", select, unit).value = i; });
  const buttons = choices(controls, "quantity that colors the text", quantities.map(({ name }) => name), i => {
    state.quantity = i;
    draw();
  });

  const text = element("div", root);
  text.className = "cells";
  text.setAttribute("role", "listbox");
  text.setAttribute("aria-orientation", "horizontal");
  text.setAttribute("aria-label", "the characters of the text");
  const cells = characters.map(character => {
    const cell = element("span", text, visible(character));
    cell.setAttribute("role", "option");
    if (spoken(character) !== character) {
      cell.className = "space";
      element("wbr", text);
    }
    return cell;
  });
  const scale = element("div", root);
  scale.className = "scale";
  scale.setAttribute("role", "img");
  const [lowest, ramp, highest] = ["span", "i", "span"].map(tag => element(tag, scale));

  const reading = element("p", root);
  reading.className = "reading";
  const after = element("span", reading);
  const here = element("span", reading);
  const lines = element("div", root);
  lines.className = "formula";
  const number = (parent, key) => {
    const output = element("output", parent);
    output.setAttribute("aria-live", "off"); // the focused character says its value
    output.dataset.value = key;
    return output;
  };
  const numbers = formula.flatMap(parts => {
    const line = element("div", lines);
    return parts.flatMap((part, i) => {
      if (i % 2) return [{ key: part, output: number(line, part) }];
      line.append(part);
      return [];
    });
  });
  const svg = make("svg", { role: "img" }, root);

  let width;
  const x = place => LEFT + (width - RIGHT - LEFT) * (characters.length > 1 ? place / (characters.length - 1) : 0.5);
  const plot = ({ key, name, low, high }, series) => {
    const bottom = Math.min(low, Math.floor(Math.min(...series)));
    const top = Math.max(high, Math.ceil(Math.max(...series)));
    const y = value => TOP + HEIGHT * (top - value) / (top - bottom);
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${TOP + HEIGHT + BOTTOM}`);
    svg.setAttribute("aria-label", `${name} of hidden unit ${units[state.unit]} over the text`);
    const ticks = [];
    for (const tick of [bottom, top, 0, high, low]) {
      if (tick < bottom || tick > top || ticks.some(other => Math.abs(y(tick) - y(other)) < APART)) continue;
      ticks.push(tick);
      make("line", { x1: LEFT, x2: width - RIGHT, y1: y(tick), y2: y(tick), stroke: palette.baseline,
        "stroke-opacity": tick === 0 ? 0.7 : 0.35 }, svg);
      make("text", { x: LEFT - 8, y: y(tick) + 4, "text-anchor": "end" }, svg,
        low < 0 && tick > 0 ? `+${tick}` : tick);
    }
    make("polyline", { fill: "none", stroke: palette[data.color], "stroke-width": 2, "stroke-linejoin": "round",
      points: series.map((value, i) => `${x(i).toFixed(2)},${y(value).toFixed(2)}`).join(" ") }, svg);
    const cx = x(state.place);
    make("line", { x1: cx, x2: cx, y1: TOP, y2: TOP + HEIGHT, stroke: "currentColor", "stroke-opacity": 0.4 }, svg);
    make("circle", { class: "marker", cx, cy: y(series[state.place]), r: 5, fill: palette[data.color],
      stroke: "currentColor", "stroke-width": 1.5 }, svg);
    make("text", { x: (LEFT + width - RIGHT) / 2, y: TOP + HEIGHT + 26, "text-anchor": "middle" }, svg,
      `character ${state.place + 1} of ${characters.length}`);
  };
  // What changes with the character; `draw` also does what changes with the unit and the quantity.
  const mark = () => {
    const { unit, place } = state;
    const quantity = quantities[state.quantity];
    const series = values[quantity.key][unit];
    const character = characters[place];
    cells.forEach((cell, i) => {
      cell.tabIndex = i === place ? 0 : -1;
      cell.setAttribute("aria-selected", i === place);
    });
    after.textContent = "After reading " + (spoken(character) === character ? `'${character}'` : `a ${spoken(character)}`);
    here.replaceChildren(`${quantity.name} = `);
    number(here, "chosen").textContent = written(quantity.key, series[place]);
    for (const { key, output } of numbers) {
      output.textContent = written(key, values[key][unit][place]);
      output.classList.toggle("chosen", key === quantity.key);
    }
    plot(quantity, series);
  };
  const draw = () => {
    const quantity = quantities[state.quantity];
    const { key, low, high } = quantity;
    buttons.forEach((button, i) => { button.setAttribute("aria-pressed", i === state.quantity); });
    cells.forEach((cell, i) => {
      const value = values[key][state.unit][i];
      cell.style.backgroundColor = shade(value, quantity);
      cell.setAttribute("aria-label", `${spoken(characters[i])}, ${written(key, value)}`);
    });
    const ends = low < 0 ? [low, 0, high] : [low, high];
    lowest.textContent = low;
    highest.textContent = low < 0 ? `+${high}` : high;
    ramp.style.backgroundImage = `linear-gradient(to right, ${ends.map(end => shade(end, quantity)).join(", ")})`;
    scale.setAttribute("aria-label", `the colors of the text, from ${lowest.textContent} to ${highest.textContent}`);
    mark();
  };
  const pick = place => {
    if (place === state.place) return;
    state.place = place;
    mark();
  };

  select.addEventListener("change", () => {
    state.unit = Number(select.value);
    draw();
  });
  const follow = event => {
    const place = cells.indexOf(event.target);
    if (place >= 0) pick(place);
  };
  text.addEventListener("pointermove", event => { if (event.pointerType === "mouse") follow(event); });
  text.addEventListener("click", follow); // a finger picks by tapping: when it moves, it scrolls the page
  const across = event => {
    const start = svg.getBoundingClientRect().left;
    pick(clamp(Math.round((characters.length - 1) * (event.clientX - start - LEFT) / (width - RIGHT - LEFT)), 0,
      characters.length - 1));
  };
  svg.addEventListener("pointermove", event => { if (event.pointerType === "mouse") across(event); });
  svg.addEventListener("click", across);

  // The cell above or below: on the nearest line that way, the nearest one.
  const beside = direction => {
    const from = cells[state.place].getBoundingClientRect();
    const far = cells.map(cell => {
      const box = cell.getBoundingClientRect();
      const down = direction * (box.top - from.top);
      return down > 1 ? 1e4 * Math.round(down) + Math.abs(box.left - from.left) : Infinity;
    });
    const nearest = Math.min(...far);
    return nearest === Infinity ? state.place : far.indexOf(nearest);
  };
  const go = place => {
    pick(clamp(place, 0, characters.length - 1));
    cells[state.place].focus();
  };
  onKeys(text, { ArrowRight: () => go(state.place + 1), ArrowLeft: () => go(state.place - 1),
    ArrowDown: () => go(beside(1)), ArrowUp: () => go(beside(-1)), Home: () => go(0),
    End: () => go(characters.length - 1) });
  onWidth(svg, pixels => {
    width = pixels;
    draw();
  });
}
