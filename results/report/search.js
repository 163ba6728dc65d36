// How the search got there: curves over candidates, hypervolume, and what the controller has settled.

const ARRIVED = D.curves.ids.map((id) => rowOf.get(id));
const BEST = D.curves.best.map((id) => rowOf.get(id));
const placeOf = new Map(ARRIVED.map((row, place) => [row, place + 1]));
const CURVES = [["reward", "reward"], ["accuracy", "accuracy"], [D.cost, COST_LABEL]];

// The line changes only with the best: other points of it say nothing.
function running(key) {
  const [x, y] = [[], []];
  BEST.forEach((row, place) => {
    if (place && row === BEST[place - 1] && place < BEST.length - 1) return;
    x.push(place + 1);
    y.push(valueOf(row, key));
  });
  return {x, y};
}

function curvesRings() {
  const place = placeOf.get(selection.row);
  if (place === undefined) return [];
  return CURVES.map(([key], number) => ({x: place, y: valueOf(selection.row, key), size: 17, yaxis: `yaxis${number ? number + 1 : ""}`}));
}

function drawCurves() {
  const order = ARRIVED.map((_, place) => place + 1);
  const traces = CURVES.flatMap(([key], number) => {
    const place = {xaxis: "x", yaxis: `y${number ? number + 1 : ""}`};
    return [
      {
        type: "scatter", mode: "none", x: order, y: ARRIVED.map((row) => valueOf(row, key)), customdata: ARRIVED, hovertext: ARRIVED.map(hoverOf), hoverinfo: "text", ...place,
      },
      {type: "scatter", mode: "lines", ...running(key), line: {color: colour("accent"), width: 2, shape: "hv"}, hoverinfo: "skip", ...place},
    ];
  });
  const axes = {};
  CURVES.forEach(([key, name], number) => {
    const top = 1 - number * 0.345;
    axes[`yaxis${number ? number + 1 : ""}`] = axis(name, {domain: [Math.max(0, top - 0.31), top], ...tickFormat(key), ...rangeOf(ARRIVED.map((row) => valueOf(row, key)), false, 0.08)});
  });
  const many = ARRIVED.length > MANY;
  const dots = CURVES.map(([key], number) => ({
    x: order, y: ARRIVED.map((row) => valueOf(row, key)), size: many ? 3 : ARRIVED.length > 500 ? 4 : 6, opacity: many ? 0.5 : 0.8,
    trace: 2 * number, yaxis: `yaxis${number ? number + 1 : ""}`,
  }));
  const drawn = Plotly.react("curves", traces, layout({xaxis: axis("results, in order of arrival", {anchor: "y3", ...(ARRIVED.length < 10 ? {dtick: 1} : {}), ...rangeOf([1, ARRIVED.length], false, 0.015)}), ...axes, uirevision: "curves"}), CONFIG);
  paintDots(at("curves"), () => dots, curvesRings);
  return drawn;
}

// Hours, or minutes or seconds where all of them are short.
function hourScale() {
  const most = D.curves.hypervolume.at(-1)[1];
  const [factor, unit] = most >= 1 ? [1, "hours"] : most >= 1 / 60 ? [60, "minutes"] : [3600, "seconds"];
  return {factor, label: D.curves.hours_label.replace("hours", unit)};
}

function drawVolume(id, place, title, factor = 1) {
  const points = D.curves.hypervolume;
  const trace = {
    type: "scatter", mode: points.length === 1 ? "markers" : "lines", x: points.map((point) => factor * point[place]), y: points.map((point) => point[2]),
    line: {color: colour("accent"), width: 2, shape: "hv"}, marker: {color: colour("accent"), size: 8}, fill: "tozeroy", fillcolor: colour("accent-soft"),
    hovertemplate: `%{x:.4~g} ${title}: %{y:.1%}<extra></extra>`,
  };
  return Plotly.react(id, [trace], layout({xaxis: axis(title), yaxis: axis("", {tickformat: SHARES, rangemode: "tozero"})}), CONFIG);
}

// Where there is no room for the choices beside the decisions, and for a bar of colours.
const narrow = () => innerWidth < 700;

// The choice that a decision has come to, among the last proposals.
function lastChoice(place) {
  const shares = D.policy.last[place];
  const most = shares.indexOf(Math.max(...shares));
  return `${cut(D.decisions[place].choices[most], 20)} (${percent(shares[most], 0)})`;
}

function drawHeat() {
  const {ends, entropy} = D.policy;
  const names = D.decisions.map((decision) => plain(cut(decision.name, 30)));
  const labels = narrow() ? names : names.map((name, place) => `${name}  <b>${plain(lastChoice(place))}</b>`);
  const figure = at("heat");
  figure.style.height = `${Math.max(220, 92 + 17 * names.length)}px`;
  const trace = {
    type: "heatmap", z: entropy, x: ends, y: names.map((_, place) => place), zmin: 0, zmax: 1, xgap: 0, ygap: 1, showscale: !narrow(),
    colorscale: [[0, colour("heat-1")], [1, colour("heat-0")]],
    hovertext: entropy.map((line, place) => line.map((value, window) => `${names[place]}<br>after ${grouped(ends[window])} proposals: ${value.toFixed(2)}<br>at last mostly ${plain(lastChoice(place))}`)), hoverinfo: "text",
    colorbar: {title: {text: "entropy", side: "right", font: {size: 12}}, thickness: 10, outlinewidth: 0, tickvals: [0, 0.5, 1], ticktext: ["0 settled", "0.5", "1 open"], tickfont: {size: 11}, len: Math.min(1, 240 / (17 * names.length))},
  };
  return Plotly.react(figure, [trace], layout({
    xaxis: axis("proposals", {showgrid: false, ...(ends.length < 10 ? {tickvals: ends} : {})}),
    yaxis: axis("", {showgrid: false, autorange: "reversed", tickvals: names.map((_, place) => place), ticktext: labels, tickfont: {size: 11, color: colour("muted")}}),
  }), CONFIG);
}

function drawSearch() {
  if (!ARRIVED.length) return [];
  const {factor, label} = hourScale();
  return [drawCurves(), drawVolume("volume-candidates", 0, "results"), drawVolume("volume-hours", 1, label, factor)];
}

function startSearch() {
  at("progress").hidden = !ARRIVED.length;
  at("policy").hidden = !D.policy.ends.length || D.decisions.length === 0;
  const drawn = drawSearch();
  if (ARRIVED.length) {
    at("volume-hours-title").textContent = `Hypervolume over ${hourScale().label}`;
    at("volume-note").textContent = `Hypervolume: the share of the box from accuracy 0 and ${amount(D.cost, D.reference_cost)} to accuracy 1 and cost 0 that the networks dominate. `
      + `Time of evaluation is added up over the workers, failed and stopped candidates included.`;
    at("curves").on("plotly_click", (event) => {
      const point = event.points.find((one) => one.customdata !== undefined);
      if (point) select(point.customdata, "curves");
    });
    selection.listeners.push(() => paint(at("curves")));
  }
  if (!at("policy").hidden) {
    at("policy-lead").textContent = `Entropy of the proposals for each decision in windows of ${grouped(D.policy.window)} proposals, over the largest it can have: `
      + "dark is always the same choice, light any choice as often as any other. " + (narrow() ? "" : "Beside each decision stands what the last window chose most. ") + "Few proposals make it look a little more settled than it is.";
    drawn.push(drawHeat());
  }
  return drawn;
}
