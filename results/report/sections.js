// The other sections: the choices of the best, the comparison, baselines, failures, environment, reproduction.

function showSummary() {
  at("run").textContent = D.run;
  at("state").textContent = D.state;
  at("state").dataset.kind = {running: "going", finished: "done", exhausted: "done"}[D.state] || "broken";
  at("made").textContent = `Page made ${D.made_at} by nas-road ${D.version}`;
  at("foot").textContent = `${D.run}, ${D.made_at}. This file is complete in itself: it fetches nothing and can be passed on.`;
  put("tiles", ...D.tiles.map(({label, value, note}) => make("li", {},
    make("span", {class: "label"}, label), make("span", {class: "value"}, value), make("span", {class: "about"}, note))));
  put("sentences", ...D.summary.map((text) => make("p", {}, text)));
  if (!DONE.length) at("networks-lead").textContent = "No candidate has finished yet: there is no point to show.";
}

function showShared() {
  const {networks, tenth, best, all} = D.shared;
  at("shared").hidden = !networks || !D.decisions.length;
  if (at("shared").hidden) return;
  at("shared-lead").textContent = `How often each choice occurs among the ${tenth === 1 ? "best network" : `${grouped(tenth)} best networks`} by reward (bar) and among all ${grouped(networks)} that finished (line). `
    + "What the two have in common is due to the space and the controller; bold is what the best have more often by a quarter of the networks.";
  fill("shared-table", "Share of each choice", [["Decision", ""], ["Choices: bar the best tenth, line all", ""]], D.decisions.map((decision, place) => {
    const choices = decision.choices.map((name, number) => {
      const [mine, every] = [best[place][number], all[place][number]];
      const [full, line] = [make("span", {class: "best"}), make("span", {class: "all"})];
      full.style.width = `${100 * mine}%`;
      line.style.left = `calc(${100 * every}% - 1px)`;
      return make("span", {class: mine - every >= 0.25 ? "choice much" : "choice", title: `${name}: ${percent(mine, 0)} of the best tenth, ${percent(every, 0)} of all`},
        make("span", {class: "name"}, cut(name, 40)), make("span", {class: "track", "aria-hidden": "true"}, full, line),
        make("span", {class: "share"}, percent(mine, 0), make("span", {class: "hidden"}, ` of the best, ${percent(every, 0)} of all`)));
    });
    return [cut(decision.name, 40), make("div", {class: "chosen"}, ...choices)];
  }));
}

function numberLink(id) {
  const row = rowOf.get(id);
  if (row === undefined) return make("span", {}, id ?? DASH);
  return make("button", {type: "button", class: "link", "aria-label": `Select ${titleOf(row)}`, onclick: () => {
    select(row, "link");
    at("selected").scrollIntoView({block: "nearest"});
  }}, T.proposed[row] ? id : T.baseline[row] ?? id);
}

function part(title, caption, columns, rows) {
  const table = fill(make("table"), caption, columns, rows);
  return make("div", {class: "card"}, make("h3", {}, title), make("div", {class: "scroll", tabindex: 0, role: "region", "aria-label": title}, table));
}

const textOf = (value) => (value === null || value === undefined ? DASH : typeof value === "number" ? String(Number(value.toPrecision(6))) : String(value));

// A comparison with a published network; any part of it may be missing.
function showComparison() {
  const found = D.comparison;
  at("rediscovery").hidden = !found;
  if (!found) return;
  const [ours, theirs] = [found.network_name || "recommended", found.reference_name || "reference"].map((name) => cut(String(name), 80));
  at("h-rediscovery").textContent = `Did the search rediscover ${theirs}?`;
  const parts = [];
  if (found.words?.length) {
    const [first, ...rest] = found.words;
    parts.push(make("div", {class: "card"}, make("div", {class: "prose"}, make("p", {class: "verdict"}, first), make("ul", {}, ...rest.map((text) => make("li", {}, text))))));
  }
  if (found.networks?.length) {
    parts.push(part("Side by side", "Both networks under this run's protocol", [["Network", ""], ["Accuracy", "number"], ["Reward", "number"], ["MACs", "number"], ["Parameters", "number"], ["Candidate", "number"]],
      found.networks.map((network) => [cut(String(network.name), 80), percent(network.accuracy), fixed(network.reward), count(network.macs), count(network.params), network.candidate === null || network.candidate === undefined ? DASH : numberLink(network.candidate)])));
  }
  if (found.stages?.length) {
    parts.push(part("Stage by stage", "Stages that differ are shaded", [["Stage", ""], [ours, ""], [theirs, ""], ["", ""]],
      found.stages.map((stage) => ({kind: stage.same ? null : "differs", cells: [textOf(stage.stage), textOf(stage.ours), textOf(stage.theirs), stage.same ? "the same" : "differs"]}))));
  }
  if (found.decisions?.length) {
    const shares = found.decisions.some((one) => one.share_last !== undefined && one.share_last !== null);
    const more = shares ? [["First proposals", "number"], ["Last proposals", "number"], ["By chance", "number"]] : [];
    parts.push(part("Decision by decision", shares ? `How often the proposals chose as ${theirs} does` : "Decisions that differ are shaded", [["Decision", ""], [ours, ""], [theirs, ""], ...more],
      found.decisions.map((one) => ({kind: one.same ? null : "differs", cells: [textOf(one.decision), textOf(one.ours), textOf(one.theirs), ...(shares ? [one.share_first, one.share_last, one.uniform].map((share) => percent(share, 0)) : [])]}))));
  }
  if (found.concentration && !found.words?.length) {
    const {first, last, uniform, window} = found.concentration;
    parts.push(make("p", {class: "note"}, `On average a proposal agreed with ${theirs} in ${percent(first, 0)} of the decisions among the first ${textOf(window)} proposals and in ${percent(last, 0)} among the last; chance alone gives ${percent(uniform, 0)}.`));
  }
  if (found.random?.length) {
    parts.push(part("The same budget spent at random", "Runs of random search", [["Run", ""], ["Results", "number"], ["Its best reward", "number"], ["Ours at that budget", "number"], [`Reward of ${theirs} reached after`, "number"]],
      found.random.map((one) => [textOf(one.run), textOf(one.results), fixed(one.best_reward), fixed(one.ours_at_that_budget), one.reached_after === null || one.reached_after === undefined ? "never" : `${one.reached_after} results`])));
  }
  put("rediscovery-body", ...parts);
}

function showBaselines() {
  at("baselines").hidden = !BASELINES.length;
  const dominating = (row) => {
    if (T.status[row] !== "done" || costOf(row) === null) return DASH;
    const better = [...FRONT].filter((other) => T.accuracy[other] >= T.accuracy[row] && costOf(other) <= costOf(row)
      && (T.accuracy[other] > T.accuracy[row] || costOf(other) < costOf(row)));
    return better.length ? make("div", {class: "links"}, ...better.map((other) => numberLink(T.id[other]))) : "no candidate";
  };
  fill("baselines-table", `Dominated by: networks of the front that are no worse in accuracy and ${COST_LABEL.replace(", ms", "")} and better in one`,
    [["Baseline", ""], ["Accuracy", "number"], ["Reward", "number"], ["MACs", "number"], ["Parameters", "number"], ...OWN_COST.map((key) => [headingOf(key), "number"]), ["Fitted to the space by", ""], ["Dominated by", ""]],
    BASELINES.map((row) => [cut(T.baseline[row], 60), T.status[row] === "done" ? percent(T.accuracy[row]) : T.status[row], fixed(T.reward[row]), count(T.macs[row]), count(T.params[row]), ...OWN_COST.map((key) => written(key, valueOf(row, key))), T.adapted[row] || "nothing: as published", dominating(row)]));
}

function showFailures() {
  const parts = [];
  if (D.failures.length) {
    parts.push(part("Failures", "By reason; numbers in the reasons differ, the first is shown", [["Networks", "number"], ["Reason", "words"], ["Which", "words"]],
      D.failures.map(({trials}) => {
        const error = T.error[rowOf.get(trials[0])];
        return [grouped(trials.length), cut(error === null ? "no reason was noted" : D.trials.errors[error], 400), make("div", {class: "links"}, ...trials.map(numberLink))];
      })));
  } else parts.push(make("p", {class: "lead"}, "No candidate failed."));
  if (D.events.length) {
    parts.push(part("Events", "What happened besides results", [["When", ""], ["Session", "number"], ["Kind", ""], ["What", "words"]],
      D.events.map((event) => [event.at, event.session ?? DASH, event.kind, event.text])));
  }
  put("failures-body", ...parts);
}

function showEnvironment() {
  const names = [...new Set(D.sessions.flatMap((session) => Object.keys(session.environment)))];
  const columns = [["Session", ""], ["Began", ""], ["Took", "number"], ["Ended", ""], ["Workers", "number"], ...names.map((name) => [name, ""])];
  fill("sessions-table", "Sessions, and the machine and versions of each", columns, D.sessions.map((session) => [
    session.id, session.started_at, session.duration, session.outcome, session.workers ?? DASH, ...names.map((name) => session.environment[name] ?? DASH)]));
  at("environment").hidden = !D.sessions.length;
}

// Copies where the browser lets it; else selects the text, for the keyboard.
async function copy(element, button) {
  const said = button.textContent;
  try {
    await navigator.clipboard.writeText(element.textContent);
    button.textContent = "Copied";
  } catch {
    getSelection().selectAllChildren(element);
    button.textContent = "Selected";
  }
  setTimeout(() => { button.textContent = said; }, 2000);
}

function showReproduction() {
  at("config").textContent = D.config;
  at("copy-config").addEventListener("click", () => copy(at("config"), at("copy-config")));
  const facts = D.reproduce.facts.flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]);
  const commands = D.reproduce.commands.map(({words, command}) => make("div", {class: "command"}, make("p", {}, words),
    make("pre", {tabindex: 0}, make("code", {}, command))));
  put("reproduce-body", make("div", {class: "prose"}, make("p", {}, D.reproduce.words)), make("dl", {class: "facts"}, ...facts), ...commands);
}
