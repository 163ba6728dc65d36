// Conditions on the ranking, such as  macs < 300e6 and stage2.kernel in (3, 5) : parsed, and never run as code. They
// mean what they mean in  nas top --where  (results/expressions.py); a test puts the two side by side.

// Names of the page's own; a fact, metric or decision of the name goes before.
const OWN = {
  front: (row) => (FRONT.has(row) ? 1 : 0), architecture: shortOf, candidate: (row) => T.id[row], number: (row) => T.id[row],
  adapted: (row) => T.adapted[row], proposed: (row) => T.proposed[row],
};
const TEXTS = ["status", "error", "baseline", "reused"];
const FACTS = ["id", "accuracy", "reward", "macs", "params", "seconds", "epochs", "arrival", "attempts", "seed", ...TEXTS];

function columnOf(name) {
  if (name === "error") return (row) => (T.error[row] === null ? null : D.trials.errors[T.error[row]]);
  if (FACTS.includes(name)) return (row) => T[name][row];
  if (Object.hasOwn(D.trials.metrics, name)) return (row) => D.trials.metrics[name][row];
  const place = D.decisions.findIndex((decision) => decision.name === name);
  if (place >= 0) return (row) => D.decisions[place].values[T.choices[row][place]] ?? null;
  if (Object.hasOwn(OWN, name)) return OWN[name];
  throw new Error(`knows no column ${JSON.stringify(cut(name, 40))}; there are accuracy, reward, macs, params, seconds, status, id, metrics and decisions`);
}

// A part of a condition with a value for each row; `numeric` if it is a number wherever it is there.
function columnPart(name) {
  const value = columnOf(name);
  const numeric = !TEXTS.includes(name) && T.id.every((_, row) => value(row) === null || typeof value(row) === "number");
  return {value, numeric, shown: cut(name, 40)};
}
const constant = (value, shown) => ({value: () => value, numeric: typeof value === "number", text: typeof value === "string", shown});

const TOKEN = /\s*(?:([0-9]+\.?[0-9]*(?:e[+-]?[0-9]+)?|\.[0-9]+(?:e[+-]?[0-9]+)?)|("[^"\\]*"|'[^'\\]*')|([A-Za-z_][\w.]*)|(<=|>=|==|!=|[-<>=()[\]{},+*/]))/iy;
const KEYWORDS = ["and", "or", "not", "in"];
const LONGEST = 2000; // characters

function tokens(text) {
  if (text.length > LONGEST) throw new Error(`has more than ${LONGEST} characters`);
  const found = [];
  TOKEN.lastIndex = 0;
  const end = text.trimEnd().length;
  while (TOKEN.lastIndex < end) {
    const from = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (!match) throw new Error(`cannot be understood from ${JSON.stringify(text.slice(from, from + 20))} on`);
    const [, number, quoted, name, sign] = match;
    if (number !== undefined) found.push({kind: "value", part: constant(Number(number), number)});
    else if (quoted !== undefined) found.push({kind: "value", part: constant(quoted.slice(1, -1), quoted)});
    else if (name === "True" || name === "False") found.push({kind: "value", part: constant(Number(name === "True"), name)});
    else if (name !== undefined) found.push({kind: KEYWORDS.includes(name) ? name : "name", name});
    else found.push({kind: sign === "=" ? "==" : sign});
  }
  return found;
}

const ORDER = {"<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b};
const ARITHMETIC = {"+": (a, b) => a + b, "-": (a, b) => a - b, "*": (a, b) => a * b, "/": (a, b) => a / b};
const CLOSING = {"(": ")", "[": "]", "{": "}"};
const there = (value) => value !== null && value !== undefined && !Number.isNaN(value);
const bare = (value) => (typeof value === "boolean" ? Number(value) : value); // True is 1

// Whether two parts are the same, for a row where both are there.
function sameness(left, right) {
  for (const [one, other] of [[left, right], [right, left]]) {
    if (one.text && other.numeric) throw new Error(`compares ${other.shown}, a number, with the text ${one.shown}`);
  }
  return (row) => there(left.value(row)) && bare(left.value(row)) === bare(right.value(row));
}

function compared(sign, left, right) {
  if (sign === "==") return sameness(left, right);
  if (sign === "!=") {
    const same = sameness(left, right);
    return (row) => there(left.value(row)) && there(right.value(row)) && !same(row);
  }
  for (const part of [left, right]) {
    if (!part.numeric) throw new Error(`orders ${part.shown}, which is no number and has only == != in`);
  }
  return (row) => there(left.value(row)) && there(right.value(row)) && ORDER[sign](left.value(row), right.value(row));
}

// Arithmetic, of numbers alone; what is not there makes the result so.
function computed(sign, left, right) {
  for (const part of [left, right]) {
    if (!part.numeric) throw new Error(`computes with ${part.shown}, which is no number`);
  }
  const value = (row) => (there(left.value(row)) && there(right.value(row)) ? ARITHMETIC[sign](left.value(row), right.value(row)) : null);
  return {value, numeric: true, shown: `${left.shown} ${sign} ${right.shown}`};
}

// A condition as a function of a row; an Error says what is wrong with it. A part has either a `test` or a `value`.
function condition(text) {
  const list = tokens(text);
  let place = 0;
  const peek = (ahead = 0) => (list[place + ahead] || {kind: "end"}).kind;
  const take = () => list[place++] || {kind: "end"};
  const truth = ({test}) => {
    if (!test) throw new Error("lacks a comparison, such as macs < 300e6");
    return test;
  };
  const worth = (part) => {
    if (!part.value) throw new Error("compares what is true or false, and not a number or a text");
    return part;
  };

  function either() {
    let left = both();
    while (peek() === "or") { take(); const [a, b] = [truth(left), truth(both())]; left = {test: (row) => a(row) || b(row)}; }
    return left;
  }
  function both() {
    let left = one();
    while (peek() === "and") { take(); const [a, b] = [truth(left), truth(one())]; left = {test: (row) => a(row) && b(row)}; }
    return left;
  }
  function one() {
    if (peek() !== "not") return comparison();
    take();
    const inner = truth(one());
    return {test: (row) => !inner(row)};
  }
  function comparison() {
    let left = sum();
    const tests = [];
    for (;;) {
      if (["==", "!="].includes(peek()) || Object.hasOwn(ORDER, peek())) {
        const [sign, right] = [take().kind, sum()];
        tests.push(compared(sign, worth(left), worth(right)));
        left = right;
      } else if (peek() === "in" || (peek() === "not" && peek(1) === "in")) {
        tests.push(among(worth(left)));
        left = {};
      } else break;
    }
    return tests.length ? {test: (row) => tests.every((test) => test(row))} : left;
  }
  function among(part) {
    const without = take().kind === "not" && take().kind === "in";
    const open = take().kind;
    const values = [];
    let commas = 0;
    while (Object.hasOwn(CLOSING, open) && peek() !== CLOSING[open]) {
      values.push(sameness(part, worth(sum())));
      if (peek() !== ",") break;
      commas += Boolean(take());
    }
    if (!values.length || take().kind !== CLOSING[open] || (open === "(" && !commas)) throw new Error("lacks a list of values after in, such as (3, 5)");
    return without ? (row) => there(part.value(row)) && !values.some((same) => same(row)) : (row) => values.some((same) => same(row));
  }
  function sum() {
    let left = product();
    while (peek() === "+" || peek() === "-") left = computed(take().kind, worth(left), worth(product()));
    return left;
  }
  function product() {
    let left = operand();
    while (peek() === "*" || peek() === "/") left = computed(take().kind, worth(left), worth(operand()));
    return left;
  }
  function operand() {
    const token = take();
    if (token.kind === "-") return computed("*", constant(-1, "-1"), worth(operand()));
    if (token.kind === "value") return token.part;
    if (token.kind === "name") return columnPart(token.name);
    if (token.kind !== "(") throw new Error("lacks a name or a number");
    const inner = either();
    if (take().kind !== ")") throw new Error("has a bracket that is not closed");
    return inner;
  }

  const whole = truth(either());
  if (peek() !== "end") throw new Error("cannot be understood to its end");
  return whole;
}

// What a text in the filter means: a condition if it compares anything, else words to be found.
function filterOf(text) {
  if (!text.trim()) return () => true;
  if (/[<>=]|\bin\s*[([{]/.test(text)) return condition(text);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return (row) => {
    const hay = [titleOf(row), T.status[row], T.key[row], T.baseline[row] || "", shortOf(row), T.error[row] === null ? "" : D.trials.errors[T.error[row]]]
      .join(" ").toLowerCase();
    return words.every((word) => hay.includes(word));
  };
}
