/* How far the gradient of h_t = tanh(weight h_{t-1} + scale x_t) reaches back.
   data: {x: [more than 50 numbers], weight, scale}; the last two are where the sliders start. */
(root, data, palette, { make, element, row, verdict, onWidth }) => {
  const LEFT = 46, RIGHT = 12, TOP = 30, HEIGHT = 220, BOTTOM = 46, LOWEST = -12, HIGHEST = 6, DECADES = 3;
  const steps = data.x.length;
  if (steps <= 50) throw new Error(`gradient_reach: x holds ${steps} numbers; expected more than 50.`);
  const lags = [10, 50, steps - 1];

  // sizes[k] is |dh_T / dh_{T-k}|: the product of the last k factors |weight (1 - h_t²)|.
  const compute = (weight, scale) => {
    let h = 0;
    const factors = data.x.map(x => {
      h = Math.tanh(weight * h + scale * x);
      return Math.abs(weight * (1 - h * h));
    }).slice(1); // the first one would lead to h_0, which is no variable
    const sizes = [1];
    for (let k = 1; k < steps; k++) sizes.push(sizes[k - 1] * factors[factors.length - k]);
    return { sizes, mean: factors.reduce((sum, factor) => sum + factor, 0) / factors.length };
  };
  // As Python's f"{value:.1e}" writes it.
  const scientific = value => value.toExponential(1).replace(/e([+-])(\d)$/, "e$10$2");

  root.replaceChildren();
  root.dataset.lmSuppressShortcuts = "true"; // or JupyterLab takes the arrow keys
  const controls = element("div", root);
  controls.className = "controls";
  const slider = (name, value) => {
    const label = element("label", controls);
    label.className = "slider";
    element("span", label, name);
    const input = element("input", label);
    Object.assign(input, { type: "range", min: 0, max: 2, step: 0.05, value });
    input.setAttribute("aria-label", name);
    input.style.accentColor = palette.rnn;
    const output = element("output", label);
    output.setAttribute("aria-live", "off"); // the slider itself says its value
    input.addEventListener("input", () => draw());
    return { input, output };
  };
  const sliders = [slider("recurrent weight w", data.weight), slider("input scale s", data.scale)];

  const svg = make("svg", { role: "img",
    "aria-label": "The size of the gradient against the number of steps back, on a logarithmic scale" }, root);
  const table = element("table", root);
  const rows = lags.map(lag => row(table, `gradient after ${lag} steps`, lag));
  const summary = verdict(root);

  let width;
  const plot = sizes => {
    const right = width - RIGHT;
    const x = lag => LEFT + (right - LEFT) * lag / (steps - 1);
    const y = decade => TOP + HEIGHT * (HIGHEST - decade) / (HIGHEST - LOWEST);
    svg.replaceChildren();
    svg.setAttribute("viewBox", `0 0 ${width} ${TOP + HEIGHT + BOTTOM}`);
    make("text", { x: 0, y: 14 }, svg, "|gradient|");
    for (let decade = LOWEST; decade <= HIGHEST; decade += DECADES) {
      make("line", { x1: LEFT, x2: right, y1: y(decade), y2: y(decade), ...(decade === 0
        ? { class: "one", stroke: "currentColor", "stroke-dasharray": "2 4", "stroke-opacity": 0.8 }
        : { stroke: palette.baseline, "stroke-opacity": 0.35 }) }, svg);
      make("text", { x: LEFT - 8, y: y(decade) + 4, "text-anchor": "end" }, svg, decade ? `1e${decade}` : "1");
    }
    for (let lag = 0; lag < steps; lag += 20) {
      make("text", { x: x(lag), y: TOP + HEIGHT + 20, "text-anchor": "middle" }, svg, lag);
    }
    make("text", { x: (LEFT + right) / 2, y: TOP + HEIGHT + 40, "text-anchor": "middle" }, svg, "steps back");

    const points = sizes.map((size, lag) => {
      const decade = Math.min(HIGHEST, Math.max(LOWEST, Math.log10(size)));
      return { place: `${x(lag).toFixed(2)} ${y(decade).toFixed(2)}`, cx: x(lag), cy: y(decade),
        outside: size < 10 ** LOWEST || size > 10 ** HIGHEST };
    });
    // Where the gradient is off the scale, a pale line runs along its edge.
    const line = { fill: "none", stroke: palette.rnn, "stroke-width": 3, "stroke-linejoin": "round" };
    make("path", { ...line, class: "edge", "stroke-opacity": 0.3,
      d: points.map(({ place }, i) => (i ? "L" : "M") + place).join("") }, svg);
    make("path", { ...line, class: "curve", d: points.map(({ place, outside }, i) =>
      (i === 0 || (outside && points[i - 1].outside) ? "M" : "L") + place).join("") }, svg);
    for (const lag of lags) {
      const { cx, cy, outside } = points[lag];
      make("circle", { cx, cy, r: 5, fill: palette.rnn, "fill-opacity": outside ? 0.3 : 1 }, svg);
    }
  };
  const draw = () => {
    const [weight, scale] = sliders.map(({ input, output }) => {
      output.textContent = Number(input.value).toFixed(2);
      return Number(input.value);
    });
    const { sizes, mean } = compute(weight, scale);
    plot(sizes);
    lags.forEach((lag, i) => { rows[i].textContent = scientific(sizes[lag]); });
    const factor = `the factor per step is ${mean.toFixed(2)} on average`;
    summary.textContent =
      sizes[50] < 1e-3
        ? `The gradient vanishes: ${factor}, and after 50 steps less than a thousandth is left.`
        : sizes[50] > 1e3
          ? `The gradient explodes: ${factor}, and after 50 steps it is more than a thousand times as large.`
          : `The gradient keeps its size: ${factor}, and after 50 steps it is still within a thousandfold.`;
  };
  const restart = element("button", root, "Start again");
  restart.type = "button";
  restart.addEventListener("click", () => {
    sliders[0].input.value = data.weight;
    sliders[1].input.value = data.scale;
    draw();
  });
  onWidth(svg, pixels => {
    width = pixels;
    draw();
  });
}
