// The selected network: its facts, its accuracy over epochs, its drawing and its stages.

const SHOWN_KINDS = {mbconv: "op-mbconv", conv: "op-conv", dsconv: "op-dsconv", stem: "op-stem", head: "op-stem"};

function tagsOf(row) {
  const tags = [];
  const add = (text, kind = "") => tags.push(make("span", {class: `tag ${kind}`}, text));
  if (T.id[row] === D.recommended) add("recommended", "red");
  if (T.id[row] === D.best) add("best observed reward");
  if (FRONT.has(row)) add("on the Pareto front");
  if (T.baseline[row] !== null) add(`baseline ${T.baseline[row]}`, "green");
  if (T.status[row] !== "done") add(T.status[row], "red");
  return tags;
}

function factsOf(row) {
  const facts = ["accuracy", "reward", "macs", "params"].map((key) => [key === "macs" ? "MACs" : measures.get(key).label, written(key, T[key][row])]);
  if (rankOf.has(row)) facts.push(["rank by reward", `${grouped(rankOf.get(row))} of ${grouped(RANKED.length)}`]);
  if (T.arrival[row] !== null) facts.push(["result number", grouped(T.arrival[row])]);
  facts.push(["evaluation", T.epochs[row] > 1 ? `${duration(T.seconds[row])}, ${T.epochs[row]} epochs` : duration(T.seconds[row])]);
  for (const name of Object.keys(D.trials.metrics)) {
    const value = D.trials.metrics[name][row];
    if (value !== null) facts.push([measures.get(`metric:${name}`).label, written(`metric:${name}`, value)]);
  }
  if (T.attempts[row] > 1) facts.push(["attempts", T.attempts[row]]);
  if (T.baseline[row] !== null) facts.push(["fitted to the space by", T.adapted[row] || "nothing: as published"]);
  if (T.reused[row] !== null) facts.push(["taken over from", T.reused[row]]);
  facts.push(["key", T.key[row]]);
  if (T.error[row] !== null) facts.push(["error", make("span", {class: "error"}, D.trials.errors[T.error[row]])]);
  return facts;
}

// Accuracy over epochs as a small line.
function curveOf(row) {
  const values = T.curve[row].map((value, place) => [T.epochs[row] - D.trials.curve_stride * (T.curve[row].length - 1 - place), value])
    .filter(([, value]) => value !== null);
  if (values.length < 2) return null;
  const [width, height, left, top] = [320, 96, 46, 8];
  const accuracies = values.map(([, value]) => value);
  const [low, high] = [Math.min(...accuracies), Math.max(...accuracies)];
  const [first, last] = [values[0][0], values.at(-1)[0]];
  const x = (epoch) => left + ((width - left - 10) * (epoch - first)) / Math.max(1, last - first);
  const y = (value) => top + (height - top - 24) * (1 - (value - low) / Math.max(1e-9, high - low));
  const small = {"font-size": 11, fill: colour("muted")};
  const path = values.map(([epoch, value], place) => `${place ? "L" : "M"}${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`).join(" ");
  return make("svg", {class: "spark", viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": `Accuracy over epochs: ${values.map(([epoch, value]) => `${epoch}: ${percent(value)}`).slice(0, 50).join(", ")}`},
    make("line", {x1: left, x2: width - 10, y1: y(low) + 5, y2: y(low) + 5, stroke: colour("line")}),
    make("text", {x: left - 6, y: y(high) + 4, "text-anchor": "end", ...small}, percent(high, 1)),
    make("text", {x: left - 6, y: y(low) + 4, "text-anchor": "end", ...small}, percent(low, 1)),
    make("path", {d: path, fill: "none", stroke: colour("accent"), "stroke-width": 1.8, "stroke-linejoin": "round"}),
    ...(values.length <= 40 ? values.map(([epoch, value]) => make("circle", {cx: x(epoch), cy: y(value), r: 2.6, fill: colour("accent")})) : []),
    make("text", {x: left, y: height - 3, ...small}, `epoch ${first}`),
    make("text", {x: width - 10, y: height - 3, "text-anchor": "end", ...small}, `epoch ${last}`));
}

function operatorOf(stage) {
  const words = stage.operator.split(",")[0].replace(" & Pooling & FC", " · FC");
  return cut(words.replace(/^(Conv)(\d)x\d$/, "$1 $2×$2").replace("Conv1x1", "Conv 1×1"), 18);
}

function detailsOf(stage) {
  const parts = [];
  if (stage.kernel !== null && stage.kind !== "stem") parts.push(`k${stage.kernel}×${stage.kernel}`);
  if (stage.expansion > 1 && stage.kind !== "mbconv") parts.push(`e${stage.expansion}`);
  parts.push(stage.se ? `SE ${stage.se}` : "");
  if (stage.skip && stage.skip !== "identity") parts.push(stage.skip === "none" ? "no skip" : stage.skip);
  return parts.filter(Boolean);
}

// A drawing to scale: width by layers, height by the square root of channels, colour by operator and expansion.
function drawingOf(stages) {
  const [gap, unit, base, tallest] = [12, 22, 178, 130];
  const widest = Math.max(...stages.map((stage) => stage.channels));
  const macs = stages.reduce((sum, stage) => sum + stage.macs, 0);
  const most = Math.max(...stages.map((stage) => stage.macs)) || 1;
  const slots = stages.map((stage) => Math.max(104, stage.layers * unit + 8));
  const width = slots.reduce((sum, slot) => sum + slot + gap, 8);
  const parts = [];
  let left = 8;
  stages.forEach((stage, place) => {
    const height = Math.max(6, tallest * Math.sqrt(stage.channels / widest));
    const middle = left + slots[place] / 2;
    const from = middle - (stage.layers * unit) / 2;
    const fill = colour(SHOWN_KINDS[stage.kind] || "op-other");
    const strength = stage.kind === "stem" || stage.kind === "head" ? 0.75 : Math.min(1, 0.38 + 0.1 * stage.expansion);
    for (let layer = 0; layer < stage.layers; layer += 1) {
      parts.push(make("rect", {x: from + layer * unit + 1, y: base - height, width: unit - 2, height, rx: 2, fill, "fill-opacity": strength.toFixed(2)}));
    }
    if (stage.se) parts.push(make("rect", {x: from + 1, y: base - height - 5, width: stage.layers * unit - 2, height: 3, rx: 1.5, fill: colour("amber")}));
    const text = (y, words, kind = "") => parts.push(make("text", {x: middle, y, "text-anchor": "middle", class: kind}, words));
    text(base - height - (stage.se ? 12 : 8), `${stage.channels} ch`, "quiet");
    text(base + 18, operatorOf(stage), "strong");
    text(base + 35, detailsOf(stage).join(" · ") || " ");
    text(base + 52, `${stage.layers > 1 ? `${stage.layers} layers` : "1 layer"}${stage.stride > 1 ? `, ↓${stage.stride}` : ""}`, "quiet");
    text(base + 68, `${stage.resolution} px`, "quiet");
    parts.push(make("rect", {x: left + 8, y: base + 79, width: slots[place] - 16, height: 6, rx: 2, fill: colour("line")}));
    parts.push(make("rect", {x: left + 8, y: base + 79, width: Math.max(1, (slots[place] - 16) * (stage.macs / most)), height: 6, rx: 2, fill: colour("muted")}));
    text(base + 101, `${percent(stage.macs / Math.max(1, macs), 1)} of MACs`, "quiet");
    left += slots[place] + gap;
  });
  parts.push(make("line", {x1: 8, x2: width - 8, y1: base + 0.5, y2: base + 0.5, stroke: colour("faint")}));
  const height = base + 112;
  const drawing = make("svg", {viewBox: `0 0 ${width} ${height}`, role: "img", "aria-labelledby": "drawing-title"}, ...parts);
  drawing.style.width = "100%";
  drawing.style.minWidth = `${Math.min(width, 1800)}px`;
  drawing.style.maxWidth = `${Math.round(1.25 * width)}px`;
  return drawing;
}

function bar(share, text) {
  const filled = make("span");
  filled.style.width = `${Math.min(100, 100 * share).toFixed(2)}%`;
  return make("span", {}, make("span", {class: "bar", "aria-hidden": "true"}, filled), text);
}

function fillStages(row, stages) {
  const macs = stages.reduce((sum, stage) => sum + stage.macs, 0);
  const params = stages.reduce((sum, stage) => sum + stage.params, 0);
  const rows = stages.map((stage, place) => [
    place + 1, stage.operator, `${stage.resolution} × ${stage.resolution}`, stage.stride, stage.channels, stage.layers,
    grouped(stage.macs), bar(stage.macs / Math.max(1, macs), percent(stage.macs / Math.max(1, macs), 1)), grouped(stage.params),
  ]);
  const table = fill("stages", `Stages of ${titleOf(row)}`, [
    ["Stage", ""], ["Operator", ""], ["Resolution", ""], ["Stride", "number"], ["Channels", "number"], ["Layers", "number"],
    ["MACs", "number"], ["Share of MACs", ""], ["Parameters", "number"],
  ], rows);
  const blank = () => make("td", {});
  table.append(make("tfoot", {}, make("tr", {}, make("th", {scope: "row"}, "Sum"), blank(), blank(), blank(), blank(),
    make("td", {class: "number"}, stages.reduce((sum, stage) => sum + stage.layers, 0)), make("td", {class: "number"}, grouped(macs)), blank(),
    make("td", {class: "number"}, grouped(params)))));
  at("drawing-note").textContent = "Width by layers, height by the square root of channels, colour by operator and expansion, an amber line "
    + "for squeeze-and-excitation (SE); ↓2 halves the resolution, which is that of what comes in."
    + (macs === T.macs[row] ? "" : ` Trained was a narrower or smaller network of this architecture, with ${count(T.macs[row])} MACs.`);
}

// As a shell takes it for one word, whatever is in it.
const quoted = (text) => (/^[\w@%+=:,./-]+$/.test(text) ? text : `'${text.replaceAll("'", `'"'"'`)}'`);

function showNetwork(row) {
  const stages = stagesOf(row);
  at("selected-name").textContent = titleOf(row);
  put("selected-tags", ...tagsOf(row));
  put("selected-facts", ...factsOf(row).flatMap(([name, value]) => [make("dt", {}, name), make("dd", {}, value)]));
  const curve = curveOf(row);
  put("selected-curve", ...(curve ? [make("h4", {class: "note"}, "Accuracy over epochs"), curve] : []));
  const reference = T.proposed[row] || T.baseline[row] === null ? T.id[row] : T.baseline[row];
  put("selected-command", make("code", {}, `nas show ${quoted(`${D.run}@${reference}`)}`));
  at("drawing-title").textContent = `Architecture of ${titleOf(row).replace(/^[CBT]/, (letter) => letter.toLowerCase())}`;
  put("drawing", drawingOf(stages));
  fillStages(row, stages);
  const chosen = D.decisions.map((decision, place) => [decision.name, decision.choices[T.choices[row][place]] ?? DASH, decision.choices.join(", ")]);
  at("choices").hidden = T.choices[row].every((choice) => choice < 0);
  fill("choices-table", `Decisions of ${titleOf(row)}`, [["Decision", ""], ["Chosen", ""], ["Among", ""]], chosen);
  at("announcement").textContent = `Selected: ${titleOf(row)}, ${T.status[row]}; accuracy ${percent(T.accuracy[row])}, ${count(T.macs[row])} MACs, ${count(T.params[row])} parameters`;
}

function step(by) {
  const front = pareto.front;
  if (!front.length) return;
  const place = front.indexOf(selection.row);
  select(front[place < 0 ? (by > 0 ? 0 : front.length - 1) : Math.min(front.length - 1, Math.max(0, place + by))], "front");
}

function updateButtons() {
  const place = pareto.front.indexOf(selection.row);
  at("front-before").disabled = !pareto.front.length || place === 0;
  at("front-after").disabled = !pareto.front.length || place === pareto.front.length - 1;
}

function startNetwork() {
  at("front-before").setAttribute("aria-label", "Previous network on the front");
  at("front-after").setAttribute("aria-label", "Next network on the front");
  at("front-before").addEventListener("click", () => step(-1));
  at("front-after").addEventListener("click", () => step(1));
  for (const [id, number] of [["pick-recommended", D.recommended], ["pick-best", D.best]]) {
    at(id).disabled = !rowOf.has(number);
    at(id).addEventListener("click", () => select(rowOf.get(number), "button"));
  }
  selection.listeners.push(showNetwork, updateButtons);
}
