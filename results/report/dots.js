// Points by the thousand, painted on a canvas below a plot: as elements of a drawing each they would take seconds, and
// plotly's WebGL makes functions from text, which the page's security policy forbids. Plotly still finds them for
// hover and clicks, by a trace that draws nothing.

// Between the two ends of the scale of colours.
function mixed(value, low, high) {
  if (!Number.isFinite(value)) return colour("line");
  const share = high > low ? (value - low) / (high - low) : 1;
  const [from, to] = ["scale-0", "scale-1"].map((name) => colour(name).match(/[0-9a-f]{2}/gi).map((part) => parseInt(part, 16)));
  return `rgb(${from.map((part, place) => Math.round(part + share * (to[place] - part))).join(" ")})`;
}

// Keeps the dots of a plot painted, whatever its axes do. `groups` gives lists of
// {x, y, size, opacity, trace, colours, xaxis, yaxis}; `trace` is the one whose visibility they share. `rings` gives
// a list of {x, y, size, yaxis} for what is selected. (Plotly's shapes of a fixed size are distorted on logarithmic axes.)
function paintDots(figure, groups, rings) {
  const first = !figure.dots;
  Object.assign(figure, {dots: groups, rings});
  if (first) {
    for (const event of ["plotly_afterplot", "plotly_relayouting"]) figure.on(event, () => paint(figure));
  }
  paint(figure);
}

function paint(figure) {
  const box = figure.querySelector(".svg-container");
  const full = figure._fullLayout;
  if (!box || !full) return;
  let canvas = box.querySelector("canvas.dots");
  if (!canvas) {
    canvas = make("canvas", {class: "dots", "aria-hidden": "true"});
    box.prepend(canvas);
  }
  const ratio = devicePixelRatio || 1;
  canvas.width = Math.round(full.width * ratio);
  canvas.height = Math.round(full.height * ratio);
  canvas.style.width = `${full.width}px`;
  canvas.style.height = `${full.height}px`;
  const pen = canvas.getContext("2d");
  pen.scale(ratio, ratio);
  for (const group of figure.dots()) {
    if (figure._fullData[group.trace]?.visible === true) paintGroup(pen, group, full[group.xaxis || "xaxis"], full[group.yaxis || "yaxis"]);
  }
  pen.strokeStyle = colour("ink");
  pen.lineWidth = 2;
  for (const {x, y, size, yaxis} of figure.rings()) {
    const up = full[yaxis || "yaxis"];
    const [left, top] = [full.xaxis.d2p(x), up.d2p(y)];
    if (left < 0 || left > full.xaxis._length || top < 0 || top > up._length) continue; // out of the part that is zoomed to
    pen.beginPath();
    pen.arc(full.xaxis._offset + left, up._offset + top, size / 2, 0, 2 * Math.PI);
    pen.stroke();
  }
}

function paintGroup(pen, group, across, up) {
  pen.save();
  pen.beginPath();
  pen.rect(across._offset, up._offset, across._length, up._length);
  pen.clip();
  pen.globalAlpha = group.opacity;
  pen.fillStyle = colour("dot");
  const radius = group.size / 2;
  for (let i = 0; i < group.x.length; i += 1) {
    const [x, y] = [across._offset + across.d2p(group.x[i]), up._offset + up.d2p(group.y[i])];
    if (group.colours) pen.fillStyle = group.colours[i];
    pen.beginPath();
    pen.arc(x, y, radius, 0, 2 * Math.PI);
    pen.fill();
  }
  pen.restore();
}
