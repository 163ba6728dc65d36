// Starts the page: sections, theme, the first selection. The page says when it is ready by data-ready on <html>.

const root = document.documentElement;
const wanted = matchMedia("(prefers-color-scheme: dark)");
let chosen = null; // by the button; kept for as long as the page is open

function setTheme() {
  root.dataset.theme = chosen || (wanted.matches ? "dark" : "light");
  at("theme").textContent = root.dataset.theme === "dark" ? "Light" : "Dark";
  at("theme").setAttribute("aria-label", `Change to ${root.dataset.theme === "dark" ? "light" : "dark"} colours`);
  at("theme").removeAttribute("aria-pressed");
}

function redraw() {
  drawPareto();
  drawSearch();
  if (!at("policy").hidden) drawHeat();
  if (selection.row !== null) showNetwork(selection.row);
}

function startTheme() {
  setTheme();
  at("theme").addEventListener("click", () => {
    chosen = root.dataset.theme === "dark" ? "light" : "dark";
    setTheme();
    redraw();
  });
  wanted.addEventListener("change", () => { setTheme(); redraw(); });
}

function startContents() {
  const names = {progress: "Curves", policy: "Policy", shared: "Best tenth", rediscovery: "Rediscovered?", failures: "Failures", reproduce: "Reproduce"};
  const sections = [...document.querySelectorAll("main section")].filter((section) => !section.hidden);
  const links = new Map(sections.map((section) => [section.id,
    make("a", {href: `#${section.id}`}, names[section.id] || section.querySelector("h2").textContent)]));
  put("contents", ...[...links.values()].map((link) => make("li", {}, link)));
  const watch = new IntersectionObserver((entries) => {
    for (const entry of entries) {
      if (!entry.isIntersecting) continue;
      for (const link of links.values()) link.removeAttribute("aria-current");
      links.get(entry.target.id).setAttribute("aria-current", "true");
    }
  }, {rootMargin: "-20% 0px -70% 0px"});
  sections.forEach((section) => watch.observe(section));
}

async function start() {
  startTheme();
  showSummary();
  showShared();
  showComparison();
  showBaselines();
  showFailures();
  showEnvironment();
  showReproduction();
  startNetwork();
  startRanking();
  const drawn = [startPareto(), ...startSearch()];
  startContents();
  const first = [D.recommended, D.best, T.id[BASELINES[0]], T.id[0]].map((id) => rowOf.get(id)).find((row) => row !== undefined);
  at("selected").hidden = at("drawing-card").hidden = at("ranking").hidden = first === undefined;
  if (first !== undefined) select(first, "start");
  updateButtons();
  await Promise.all(drawn);
  root.dataset.ready = "yes";
}

start();
