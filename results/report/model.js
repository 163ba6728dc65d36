// The data of the page, and what is computed from them. Nothing here touches the document but `data`.

const D = JSON.parse(document.getElementById("data").textContent);
const T = D.trials.columns;
const N = T.id.length;
const rowOf = new Map(T.id.map((id, row) => [id, row]));
const measures = new Map(D.measures.map((measure) => [measure.key, measure]));
const DONE = [...Array(N).keys()].filter((row) => T.status[row] === "done");
const CANDIDATES = DONE.filter((row) => T.proposed[row]);
const BASELINES = [...Array(N).keys()].filter((row) => T.baseline[row] !== null);
const DASH = "–";

// The value of a fact or metric of a trial; null where there is none.
function valueOf(row, key) {
  return key.startsWith("metric:") ? D.trials.metrics[key.slice(7)][row] : T[key][row];
}

function isShare(key) {
  return key === "accuracy" || (key.startsWith("metric:") && key.includes("accuracy"));
}

// 5288548 as 5.29 M
function count(number) {
  if (number === null || number === undefined) return DASH;
  for (const [unit, letter] of [[1e12, "T"], [1e9, "G"], [1e6, "M"], [1e3, "k"]]) {
    if (Math.abs(number) >= 0.9995 * unit) return `${Number((number / unit).toPrecision(3))} ${letter}`;
  }
  return String(Number(number.toPrecision(6)));
}

const grouped = (number) => number.toLocaleString("en-GB");
const percent = (share, digits = 2) => (share === null || share === undefined ? DASH : `${(100 * share).toFixed(digits)} %`);
const fixed = (number, digits = 4) => (number === null || number === undefined ? DASH : number.toFixed(digits));

function duration(seconds) {
  if (seconds === null || seconds === undefined) return DASH;
  if (seconds < 0.1) return `${Number((1000 * seconds).toPrecision(2))} ms`;
  if (seconds < 120) return `${seconds.toFixed(seconds < 10 ? 1 : 0)} s`;
  const minutes = Math.round(seconds / 60);
  return minutes < 120 ? `${minutes} min` : `${Math.floor(minutes / 60)} h ${minutes % 60} min`;
}

// A fact or metric as people write it.
function written(key, value) {
  if (value === null || value === undefined) return DASH;
  if (isShare(key) && Math.abs(value) <= 1) return percent(value);
  if (key === "macs" || key === "params") return count(value);
  if (key === "reward") return fixed(value);
  if (key.endsWith("_ms")) return String(Number(value.toPrecision(3)));
  if (key === "seconds") return duration(value);
  return typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value);
}

// The cost of the search's objective, as a value and in words.
const costOf = (row) => valueOf(row, D.cost);
const COST_LABEL = measures.get(D.cost).label;
const OWN_COST = D.cost.startsWith("metric:") ? [D.cost] : []; // what tables have no column for otherwise
function amount(key, value) {
  if (value === null || value === undefined) return DASH;
  return `${written(key, value)} ${key.endsWith("_ms") ? "ms" : measures.get(key).label}`;
}

// A fact or metric as the heading of a column: Latency, ms
function headingOf(key) {
  const {label} = measures.get(key);
  return label[0].toUpperCase() + label.slice(1);
}

function titleOf(row) {
  if (T.proposed[row]) return `Candidate ${T.id[row]}`;
  return T.baseline[row] === null ? `Trial ${T.id[row]}` : `Baseline ${T.baseline[row]}`;
}

const SHORT = D.trials.stages[0] ? D.trials.stages[0].length - 1 : 0;
function stagesOf(row) {
  return T.stages[row].map((number) => {
    const [kind, operator, kernel, expansion, se, skip, stride, resolution, channels, layers, macs, params, short] = D.trials.stages[number];
    return {kind, operator, kernel, expansion, se, skip, stride, resolution, channels, layers, macs, params, short};
  });
}

// The architecture in short, such as mb6 k5 se 40x2 | …
function shortOf(row) {
  return T.stages[row].map((number) => D.trials.stages[number][SHORT]).filter(Boolean).join(" | ");
}

// The rows that no other dominates, along x. Of equal points the first is on the front.
function frontOf(rows, x, y) {
  const sign = (key) => (measures.get(key).better === "less" ? 1 : -1);
  const [sx, sy] = [sign(x), sign(y)];
  const points = rows
    .map((row) => [sx * valueOf(row, x), sy * valueOf(row, y), row])
    .sort((a, b) => a[0] - b[0] || a[1] - b[1] || T.id[a[2]] - T.id[b[2]]);
  const front = [];
  let best = Infinity;
  for (const [, height, row] of points) {
    if (height < best) {
      best = height;
      front.push(row);
    }
  }
  return sx > 0 ? front : front.reverse();
}

// Candidates by reward, best first; of equals the earlier.
const RANKED = CANDIDATES.filter((row) => T.reward[row] !== null).sort((a, b) => T.reward[b] - T.reward[a] || T.id[a] - T.id[b]);
const rankOf = new Map(RANKED.map((row, place) => [row, place + 1]));
const FRONT = new Set(D.front.map((id) => rowOf.get(id)));

// What the rest of the page knows of the selected network.
const selection = {row: null, listeners: []};
function select(row, from = "") {
  if (row === undefined || row === null) return;
  selection.row = row;
  for (const listener of selection.listeners) listener(row, from);
}

// An element with attributes, and children that are elements or texts: the only way text gets into the page.
function make(tag, attributes = {}, ...children) {
  const svg = ["svg", "rect", "text", "path", "circle", "line", "g", "title"].includes(tag);
  const element = svg ? document.createElementNS("http://www.w3.org/2000/svg", tag) : document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === null || value === undefined || value === false) continue;
    if (name === "onclick") element.addEventListener("click", value);
    else element.setAttribute(name, value === true ? "" : value);
  }
  element.append(...children.map((child) => (child instanceof Node ? child : document.createTextNode(String(child)))));
  return element;
}

const at = (id) => document.getElementById(id);
function put(id, ...children) {
  at(id).replaceChildren(...children);
}

// A whole table: columns are [heading, class]; cells are texts or elements; a row may be {cells, kind}.
function fill(id, caption, columns, rows) {
  const head = make("tr", {}, ...columns.map(([name, kind]) => make("th", {scope: "col", class: kind}, name)));
  const body = rows.map((row) => {
    const cells = row.cells || row;
    return make("tr", {class: row.kind}, ...cells.map((cell, number) => (number
      ? make("td", {class: columns[number][1]}, cell)
      : make("th", {scope: "row", class: columns[number][1]}, cell))));
  });
  const table = typeof id === "string" ? at(id) : id;
  table.replaceChildren(make("caption", {}, caption), make("thead", {}, head), make("tbody", {}, ...body));
  return table;
}
