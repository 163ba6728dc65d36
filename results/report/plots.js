// What all plots share, and the Pareto plot.

const MANY = 3000; // points; more are drawn smaller
const COARSE = matchMedia("(pointer: coarse)").matches;
const CONFIG = {displaylogo: false, responsive: true, showSendToCloud: false, modeBarButtonsToRemove: ["lasso2d", "select2d", "autoScale2d", "toImage"]};

const colour = (name) => getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim();

// Plotly reads <b>, <a href> and entities in texts: a name is shown as it is.
const plain = (text) => String(text).replaceAll("&", "&amp;").replaceAll("<", "&lt;").replaceAll(">", "&gt;");

function axis(title, more = {}) {
  return {
    title: {text: title, standoff: 10, font: {size: 13, color: colour("muted")}}, gridcolor: colour("grid"), linecolor: colour("faint"),
    zeroline: false, tickfont: {size: 12, color: colour("muted")}, automargin: true, ticks: "", ...more,
  };
}

function layout(more) {
  return {
    paper_bgcolor: "rgba(0,0,0,0)", plot_bgcolor: "rgba(0,0,0,0)", margin: {l: 12, r: 12, t: 12, b: 12},
    font: {family: "system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, 'Noto Sans', sans-serif", size: 13, color: colour("ink")},
    hoverlabel: {bgcolor: colour("card"), bordercolor: colour("faint"), font: {size: 13, color: colour("ink")}, align: "left"},
    dragmode: COARSE ? false : "zoom", hovermode: "closest", showlegend: false,
    modebar: {bgcolor: "rgba(0,0,0,0)", color: colour("muted"), activecolor: colour("accent")},
    ...more,
  };
}

// The range of an axis that shows all values with some room; plotly leaves none for dots that it does not draw.
function rangeOf(values, log = false, room = 0.05) {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) {
    const place = log ? Math.log10(value) : value;
    low = Math.min(low, place);
    high = Math.max(high, place);
  }
  if (low > high) return {};
  const more = low === high ? Math.abs(low) * 0.1 || 1 : (high - low) * room;
  return {range: [low - more, high + more]};
}

// Ticks are round numbers: of the digits allowed as many are written as tell them apart, whatever is zoomed to.
const SHARES = ".5~%";
const COUNTS = ".6~s";
function tickFormat(key) {
  if (isShare(key)) return {tickformat: SHARES, hoverformat: ".2%"};
  return {tickformat: key === "macs" || key === "params" ? COUNTS : "~g"};
}

function labelOf(key) {
  const label = measures.get(key).label;
  return {accuracy: "validation accuracy", macs: "multiply-adds of one image (MACs)"}[key] || label;
}

const hovers = new Map();
// What the pointer shows of a network: its facts, and the architecture in a few lines.
function hoverOf(row) {
  if (!hovers.has(row)) hovers.set(row, hoverText(row));
  return hovers.get(row);
}

function hoverText(row) {
  const stages = T.stages[row].map((number) => D.trials.stages[number][SHORT]).filter(Boolean).map(plain);
  const lines = [];
  for (let i = 0; i < stages.length; i += 3) lines.push(stages.slice(i, i + 3).join(" | "));
  const facts = `${percent(T.accuracy[row])} · ${count(T.macs[row])} MACs · ${count(T.params[row])} parameters${OWN_COST.map((key) => ` · ${amount(key, valueOf(row, key))}`).join("")} · reward ${fixed(T.reward[row])}`;
  const name = T.baseline[row] !== null && T.proposed[row] ? `${titleOf(row)}, baseline ${T.baseline[row]}` : titleOf(row);
  return [`<b>${plain(cut(name, 80))}</b>`, facts, ...lines].join("<br>");
}

const cut = (text, longest) => (text.length > longest ? `${text.slice(0, longest - 1)}…` : text);

// Logarithmic from the start where a baseline is so far off that the candidates would be one spot.
const FAR = 4;
function farOff(key) {
  const largest = (rows) => rows.reduce((most, row) => Math.max(most, valueOf(row, key)), 0);
  return CANDIDATES.length > 0 && largest(BASELINES.filter((row) => T.status[row] === "done")) > FAR * largest(CANDIDATES);
}

const pareto = {x: D.cost, y: "accuracy", colour: "none", log: farOff(D.cost), front: []};

function onAxes(rows) {
  return rows.filter((row) => [pareto.x, pareto.y].every((key) => Number.isFinite(valueOf(row, key)) && valueOf(row, key) !== null)
    && !(pareto.log && valueOf(row, pareto.x) <= 0));
}

function points(name, rows, more) {
  return {
    type: "scatter", mode: "markers", name, x: rows.map((row) => valueOf(row, pareto.x)), y: rows.map((row) => valueOf(row, pareto.y)),
    customdata: rows, hovertext: rows.map(hoverOf), hoverinfo: "text", ...more,
  };
}

function coloured(rows, size, otherwise, border) {
  if (pareto.colour === "none") return {size, color: otherwise, line: border};
  const [from, to] = pareto.range;
  return {
    size, color: rows.map((row) => valueOf(row, pareto.colour)), cmin: from, cmax: to, line: border,
    colorscale: [[0, colour("scale-0")], [1, colour("scale-1")]],
  };
}

function colourBar() {
  const format = isShare(pareto.colour) ? SHARES : COUNTS;
  return {title: {text: plain(measures.get(pareto.colour).label), side: "right", font: {size: 12}}, thickness: 10, len: 0.7, outlinewidth: 0, tickformat: format, tickfont: {size: 11}};
}

// Whether a point is in the right half of the plot, where its name goes to the left.
function beyondMiddle(row) {
  const scale = (value) => (pareto.log ? Math.log(value) : value);
  const values = onAxes(DONE).map((other) => scale(valueOf(other, pareto.x)));
  const [low, high] = values.reduce(([least, most], value) => [Math.min(least, value), Math.max(most, value)], [Infinity, -Infinity]);
  return scale(valueOf(row, pareto.x)) > (low + high) / 2;
}

function paretoTraces() {
  const rows = onAxes(CANDIDATES);
  pareto.front = frontOf(rows, pareto.x, pareto.y);
  const onFront = new Set(pareto.front);
  const others = rows.filter((row) => !onFront.has(row));
  const references = onAxes(BASELINES.filter((row) => T.status[row] === "done"));
  if (pareto.colour !== "none") {
    const values = [...rows, ...references].map((row) => valueOf(row, pareto.colour)).filter(Number.isFinite);
    pareto.range = rangeOf(values, false, 0).range || [0, 1]; // wider than a point, which has no scale
  }
  const size = rows.length > MANY ? 4 : rows.length > 500 ? 6 : 8;
  const faint = pareto.colour === "none" ? (rows.length > MANY ? 0.4 : 0.62) : 0.8;
  const scale = pareto.colour === "none" ? {color: colour("dot"), size} : {...coloured([], size), color: [pareto.range[0]], showscale: true, colorbar: colourBar()};
  pareto.dots = {
    x: others.map((row) => valueOf(row, pareto.x)), y: others.map((row) => valueOf(row, pareto.y)), size, opacity: faint, trace: 0,
    colours: pareto.colour === "none" ? null : others.map((row) => mixed(valueOf(row, pareto.colour), ...pareto.range)),
  };
  const steps = pareto.front.map((row) => [valueOf(row, pareto.x), valueOf(row, pareto.y)]);
  const traces = [
    // what the pointer finds; the dots themselves are painted by `dots.js`, and the legend needs a trace of its own
    points("", others, {mode: "none", showlegend: false, legendgroup: "dominated"}),
    {type: "scatter", mode: "markers", name: `dominated (${grouped(others.length)})`, x: [null], y: [null], legendgroup: "dominated", marker: scale, opacity: faint},
    {
      type: "scatter", mode: "lines", x: steps.map(([x]) => x), y: steps.map(([, y]) => y), hoverinfo: "skip", showlegend: false,
      line: {color: colour("accent"), width: 1.6, shape: measures.get(pareto.x).better === "less" ? "hv" : "vh"},
    },
    points(`Pareto front (${grouped(pareto.front.length)})`, pareto.front, {marker: coloured(pareto.front, Math.max(8, size + 1), colour("accent"), {width: 1.5, color: pareto.colour === "none" ? colour("card") : colour("accent")})}),
  ];
  if (references.length) {
    traces.push(points(`baselines (${references.length})`, references, {
      mode: "markers+text", text: references.map((row) => plain(cut(T.baseline[row], 40))), textposition: references.map((row) => (beyondMiddle(row) ? "bottom left" : "bottom right")),
      textfont: {size: 12, color: colour("green")}, cliponaxis: false,
      marker: {size: 11, symbol: "diamond", color: colour("green"), line: {width: 1.5, color: colour("card")}},
    }));
  }
  const bet = rowOf.get(D.recommended);
  if (bet !== undefined && onAxes([bet]).length) {
    traces.push(points("recommended", [bet], {marker: {size: 17, symbol: "circle-open", color: colour("red"), line: {width: 2.2}}}));
  }
  return traces;
}

// Where the selected network is on the axes shown.
function paretoRing() {
  const row = selection.row;
  if (row === null || T.status[row] !== "done" || !onAxes([row]).length) return [];
  return [{x: valueOf(row, pareto.x), y: valueOf(row, pareto.y), size: 24}];
}

function drawPareto() {
  const traces = paretoTraces();
  const [x, y] = [measures.get(pareto.x), measures.get(pareto.y)];
  const figure = at("pareto");
  const shown = onAxes(DONE);
  const drawn = Plotly.react(figure, traces, layout({
    xaxis: axis(plain(labelOf(pareto.x)), {type: pareto.log ? "log" : "linear", tickangle: 0, nticks: COARSE || innerWidth < 560 ? 5 : 8, ...tickFormat(pareto.x), ...rangeOf(shown.map((row) => valueOf(row, pareto.x)), pareto.log)}),
    yaxis: axis(plain(labelOf(pareto.y)), {...tickFormat(pareto.y), ...rangeOf(shown.map((row) => valueOf(row, pareto.y)), false, 0.07)}),
    showlegend: true, legend: {orientation: "h", x: 0, y: 1.01, yanchor: "bottom", font: {size: 12}, itemsizing: "constant", bgcolor: "rgba(0,0,0,0)"},
    uirevision: `${pareto.x} ${pareto.y} ${pareto.log}`,
  }), CONFIG);
  const sought = (measure) => `${measure.better === "less" ? "lowest" : "highest"} ${measure.label}`;
  const whole = onAxes(CANDIDATES).length;
  at("pareto-note").textContent = whole
    ? `Front of ${sought(y)} and ${sought(x)}: ${grouped(pareto.front.length)} of ${grouped(whole)} network${whole === 1 ? "" : "s"}. `
      + (BASELINES.length ? "Baselines are shown beside it and are no part of it." : "")
    : "There is no finished candidate to show.";
  paintDots(figure, () => [pareto.dots], paretoRing);
  figure.dataset.front = pareto.front.map((row) => T.id[row]).join(" ");
  return drawn;
}

function startPareto() {
  const option = (measure) => make("option", {value: measure.key}, measure.label);
  for (const [id, key] of [["axis-x", "x"], ["axis-y", "y"], ["axis-colour", "colour"]]) {
    if (key === "colour") at(id).append(make("option", {value: "none"}, "none"));
    at(id).append(...D.measures.map(option));
    at(id).value = pareto[key];
    at(id).addEventListener("change", () => { pareto[key] = at(id).value; drawPareto(); updateButtons(); });
  }
  at("log-x").checked = pareto.log;
  at("log-x").addEventListener("change", () => { pareto.log = at("log-x").checked; drawPareto(); updateButtons(); });
  if (COARSE && DONE.length) at("networks-lead").textContent = at("networks-lead").textContent.replace("drag to zoom, double-click to see all again", "the signs above the plot zoom, the house shows all again");
  at("pareto-card").hidden = !DONE.length;
  const drawn = drawPareto();
  at("pareto").on("plotly_click", (event) => {
    const point = event.points.find((one) => one.customdata !== undefined);
    if (point) select(point.customdata, "pareto");
  });
  selection.listeners.push(() => paint(at("pareto")));
  return drawn;
}
