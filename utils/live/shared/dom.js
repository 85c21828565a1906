/* What the figures share: new elements, controls, and how a character and its color are written. */
(() => {
  const STRONGEST = 0.45; // the letters on top stay readable, on light pages and on dark ones

  const make = (tag, attributes, parent, text) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  };
  const element = (tag, parent, text) => {
    const node = document.createElement(tag);
    if (text !== undefined) node.textContent = text;
    parent.append(node);
    return node;
  };

  const visible = character => ({ " ": "␣", "\n": "↵" })[character] || character;
  const spoken = character => ({ " ": "space", "\n": "line break" })[character] || character;
  // A color of the palette as a background: the stronger (0 .. 1), the less of the page is seen through it.
  const tint = (color, strength) => color + Math.round(255 * STRONGEST * Math.min(1, Math.max(0, strength)))
    .toString(16).padStart(2, "0");

  // Buttons of which one is pressed; the figure sets aria-pressed. `choose` gets the index.
  const choices = (parent, name, options, choose) => {
    const group = element("div", parent);
    group.className = "choices";
    group.setAttribute("role", "group");
    group.setAttribute("aria-label", name);
    return options.map((option, i) => {
      const button = element("button", group, option);
      button.type = "button";
      button.addEventListener("click", () => choose(i));
      return button;
    });
  };
  // Returns the <output> of a new row.
  const row = (table, name, key) => {
    const line = element("tr", table);
    element("th", line, name).scope = "row";
    const output = element("output", element("td", line));
    output.setAttribute("aria-live", "off"); // what speaks for all rows is the verdict, or what has the focus
    output.dataset.value = key;
    return output;
  };
  const verdict = parent => {
    const line = element("p", parent);
    line.className = "verdict";
    line.setAttribute("aria-live", "polite");
    return line;
  };

  // moves: {key: function}. Neither the page nor the notebook sees these keys.
  const onKeys = (node, moves) => node.addEventListener("keydown", event => {
    if (!(event.key in moves) || event.ctrlKey || event.metaKey || event.altKey) return;
    moves[event.key]();
    event.preventDefault();
    event.stopPropagation();
  });
  // Calls `use` with the width of a drawing in pixels, now and whenever it changes. In a viewBox of that width
  // one unit is one pixel, so that the text is as large on a phone as on a desktop.
  const onWidth = (svg, use) => {
    let width = 420;
    const measure = () => Math.round(svg.getBoundingClientRect().width) || width; // 0 while nothing is shown
    width = measure();
    use(width);
    new ResizeObserver(() => requestAnimationFrame(() => {
      if (measure() === width) return;
      width = measure();
      use(width);
    })).observe(svg);
  };
  return { make, element, visible, spoken, tint, choices, row, verdict, onKeys, onWidth };
})()
