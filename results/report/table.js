// The ranking: sorted by any column, filtered, in pages, so that 10,000 rows stay quick.

const PAGE = 50;
const COLUMNS = [
  {key: "rank", name: "Rank", kind: "number", of: (row) => rankOf.get(row) ?? null, text: (row) => (rankOf.has(row) ? grouped(rankOf.get(row)) : DASH)},
  {key: "id", name: "Candidate", kind: "number", of: (row) => T.id[row], text: (row) => (T.proposed[row] ? T.id[row] : cut(T.baseline[row] ?? `trial ${T.id[row]}`, 30))},
  {key: "status", name: "Status", kind: "", of: (row) => T.status[row], text: (row) => T.status[row] + (FRONT.has(row) ? " · front" : "")},
  ...["accuracy", "reward", "macs", "params", ...OWN_COST, "seconds"].map((key) => ({
    key, name: key === "seconds" ? "Seconds" : headingOf(key), kind: "number",
    of: (row) => valueOf(row, key), text: (row) => (key === "seconds" ? fixed(T.seconds[row], T.seconds[row] < 10 ? 2 : 0) : written(key, valueOf(row, key))),
  })),
  {key: "architecture", name: "Architecture", kind: "short", of: shortOf, text: shortOf},
];
const FALLING = new Set(["accuracy", "reward"]); // what is better the larger it is, sorted so at first

const ranking = {rows: [], sort: "rank", down: false, page: 0, focus: null};

function arrange() {
  let keep;
  try {
    keep = filterOf(at("filter").value);
    at("filter").removeAttribute("aria-invalid");
  } catch (error) {
    at("filter").setAttribute("aria-invalid", "true");
    at("filter-note").textContent = `The filter ${error.message}.`;
    return;
  }
  const status = at("status-filter").value;
  const rows = [];
  for (let row = 0; row < N; row += 1) {
    const fits = status === "all" || (status === "front" ? FRONT.has(row) : status === "baseline" ? T.baseline[row] !== null : T.status[row] === status);
    if (fits && keep(row)) rows.push(row);
  }
  const column = COLUMNS.find(({key}) => key === ranking.sort);
  const sign = ranking.down ? -1 : 1;
  const keys = new Map(rows.map((row) => [row, column.of(row)]));
  ranking.rows = rows.sort((a, b) => {
    const [mine, other] = [keys.get(a), keys.get(b)];
    if (mine === other) return T.id[a] - T.id[b];
    if (mine === null) return 1; // what is not there comes last either way
    if (other === null) return -1;
    return (mine < other ? -1 : 1) * sign;
  });
  at("filter-note").textContent = `${grouped(rows.length)} of ${grouped(N)} networks`;
  ranking.page = 0;
  ranking.focus = null;
  drawRanking();
}

const pages = () => Math.max(1, Math.ceil(ranking.rows.length / PAGE));

function drawRanking(focus = false) {
  ranking.page = Math.min(pages() - 1, Math.max(0, ranking.page));
  const shown = ranking.rows.slice(ranking.page * PAGE, (ranking.page + 1) * PAGE);
  const reachable = shown.includes(ranking.focus) ? ranking.focus : shown.includes(selection.row) ? selection.row : shown[0];
  const head = COLUMNS.map(({key, name, kind}) => make("th", {
    scope: "col", class: kind, "aria-sort": key === ranking.sort ? (ranking.down ? "descending" : "ascending") : "none",
  }, make("button", {type: "button", "data-sort": key}, name)));
  const body = shown.map((row) => make("tr", {
    "data-row": row, tabindex: row === reachable ? 0 : -1, "aria-selected": String(row === selection.row),
  }, ...COLUMNS.map(({kind, text}) => make("td", {class: kind}, text(row)))));
  const before = at("ranks").querySelector("button:focus")?.dataset.sort;
  at("ranks").replaceChildren(
    make("caption", {class: "hidden"}, "Networks, in pages of 50 rows"), make("thead", {}, make("tr", {}, ...head)), make("tbody", {}, ...body));
  if (before) at("ranks").querySelector(`button[data-sort="${before}"]`).focus();
  if (focus && reachable !== undefined) at("ranks").querySelector(`tr[data-row="${reachable}"]`).focus();
  at("page-where").textContent = `page ${grouped(ranking.page + 1)} of ${grouped(pages())}`;
  for (const id of ["page-first", "page-before"]) at(id).disabled = ranking.page === 0;
  for (const id of ["page-after", "page-last"]) at(id).disabled = ranking.page >= pages() - 1;
}

function sortBy(key) {
  ranking.down = key === ranking.sort ? !ranking.down : FALLING.has(key);
  ranking.sort = key;
  arrange();
}

// The row so many places on, on another page if need be.
function move(row, by) {
  const place = ranking.rows.indexOf(row);
  const next = ranking.rows[Math.min(ranking.rows.length - 1, Math.max(0, place + by))];
  if (next === undefined) return;
  ranking.focus = next;
  ranking.page = Math.floor(ranking.rows.indexOf(next) / PAGE);
  drawRanking(true);
}

function onKey(event) {
  const line = event.target.closest("tr[data-row]");
  if (!line || event.altKey || event.ctrlKey || event.metaKey) return;
  const row = Number(line.dataset.row);
  const moves = {ArrowDown: 1, ArrowUp: -1, PageDown: PAGE, PageUp: -PAGE, Home: -Infinity, End: Infinity};
  if (event.key in moves) move(row, moves[event.key] === Infinity ? N : moves[event.key] === -Infinity ? -N : moves[event.key]);
  else if (event.key === "Enter" || event.key === " ") {
    ranking.focus = row;
    select(row, "ranking");
    at("ranks").querySelector(`tr[data-row="${row}"]`)?.focus();
  } else return;
  event.preventDefault();
}

function startRanking() {
  const statuses = [...new Set(T.status)];
  const option = (value, text) => make("option", {value}, text);
  at("status-filter").append(option("all", "all"), ...(FRONT.size ? [option("front", "on the front")] : []),
    ...(BASELINES.length ? [option("baseline", "baselines")] : []), ...(statuses.length > 1 ? statuses.map((status) => option(status, status)) : []));
  let waiting = 0;
  at("filter").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(arrange, N > MANY ? 150 : 0); });
  at("status-filter").addEventListener("change", arrange);
  at("ranks").addEventListener("click", (event) => {
    const button = event.target.closest("button[data-sort]");
    const line = event.target.closest("tr[data-row]");
    if (button) sortBy(button.dataset.sort);
    else if (line) { ranking.focus = Number(line.dataset.row); select(ranking.focus, "ranking"); }
  });
  at("ranks").addEventListener("keydown", onKey);
  for (const [id, to] of [["page-first", () => 0], ["page-before", () => ranking.page - 1], ["page-after", () => ranking.page + 1], ["page-last", () => pages() - 1]]) {
    at(id).addEventListener("click", () => { ranking.page = to(); drawRanking(); });
  }
  selection.listeners.push((row, from) => {
    const place = ranking.rows.indexOf(row);
    if (place >= 0 && from !== "ranking") ranking.page = Math.floor(place / PAGE);
    drawRanking();
  });
  arrange();
}
