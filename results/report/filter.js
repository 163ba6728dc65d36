// Conditions on the ranking, such as  macs < 300e6 and accuracy > 0.9 : parsed, and never run as code. A part of
// the language of  nas top --where .

const ALIASES = {candidate: "id", number: "id"};

function columnOf(name) {
  const key = ALIASES[name] || name;
  if (key === "error") return (row) => (T.error[row] === null ? null : D.trials.errors[T.error[row]]);
  if (key === "front") return (row) => (FRONT.has(row) ? 1 : 0);
  if (key === "architecture") return shortOf;
  if (Object.hasOwn(T, key) && !["stages", "choices", "curve"].includes(key)) return (row) => T[key][row];
  if (Object.hasOwn(D.trials.metrics, key)) return (row) => D.trials.metrics[key][row];
  const place = D.decisions.findIndex((decision) => decision.name === key);
  if (place < 0) throw new Error(`no column ${JSON.stringify(name)}; there are accuracy, reward, macs, params, seconds, status, id, metrics and decisions`);
  return (row) => D.decisions[place].choices[T.choices[row][place]] ?? null;
}

const TOKEN = /\s*(?:([0-9]+\.?[0-9]*(?:e[+-]?[0-9]+)?|\.[0-9]+(?:e[+-]?[0-9]+)?)|("[^"]*"|'[^']*')|([A-Za-z_][\w.]*)|(<=|>=|==|!=|<|>|=|\(|\)|-))/iy;

function tokens(text) {
  const found = [];
  TOKEN.lastIndex = 0;
  const end = text.trimEnd().length;
  while (TOKEN.lastIndex < end) {
    const from = TOKEN.lastIndex;
    const match = TOKEN.exec(text);
    if (!match) throw new Error(`cannot be understood from ${JSON.stringify(text.slice(from, from + 20))} on`);
    const [, number, quoted, name, sign] = match;
    if (number !== undefined) found.push({kind: "value", value: Number(number)});
    else if (quoted !== undefined) found.push({kind: "value", value: quoted.slice(1, -1)});
    else if (name !== undefined) found.push({kind: ["and", "or", "not"].includes(name) ? name : "name", value: name});
    else found.push({kind: sign === "=" ? "==" : sign});
  }
  return found;
}

const COMPARE = {
  "<": (a, b) => a < b, "<=": (a, b) => a <= b, ">": (a, b) => a > b, ">=": (a, b) => a >= b,
  "==": (a, b) => a === b, "!=": (a, b) => a !== b,
};

// What is not there makes every comparison false; numbers written as texts are numbers.
function compared(sign, left, right) {
  return (row) => {
    let [a, b] = [left(row), right(row)];
    if (a === null || b === null || a === undefined || b === undefined) return false;
    const numbers = [a, b].every((value) => value !== "" && Number.isFinite(Number(value)));
    [a, b] = numbers ? [Number(a), Number(b)] : [String(a), String(b)];
    return COMPARE[sign](a, b);
  };
}

// A condition as a function of a row; an Error says what is wrong with it.
function condition(text) {
  const list = tokens(text);
  let place = 0;
  const peek = () => (list[place] || {kind: "end"}).kind;
  const take = () => list[place++] || {kind: "end"};

  function either() {
    let left = both();
    while (peek() === "or") { take(); const [a, b] = [left, both()]; left = (row) => a(row) || b(row); }
    return left;
  }
  function both() {
    let left = one();
    while (peek() === "and") { take(); const [a, b] = [left, one()]; left = (row) => a(row) && b(row); }
    return left;
  }
  function one() {
    if (peek() === "not") { take(); const inner = one(); return (row) => !inner(row); }
    if (peek() === "(") {
      take();
      const inner = either();
      if (take().kind !== ")") throw new Error("a bracket is not closed");
      return inner;
    }
    let left = operand();
    let holds = null;
    while (Object.hasOwn(COMPARE, peek())) {
      const sign = take().kind;
      const right = operand();
      const [before, test] = [holds, compared(sign, left, right)];
      holds = before ? (row) => before(row) && test(row) : test;
      left = right;
    }
    if (!holds) throw new Error("a comparison is missing, such as macs < 300e6");
    return holds;
  }
  function operand() {
    const token = take();
    if (token.kind === "-") { const inner = operand(); return (row) => -inner(row); }
    if (token.kind === "value") return () => token.value;
    if (token.kind === "name") return columnOf(token.value);
    throw new Error("a name or a number is missing");
  }

  const whole = either();
  if (peek() !== "end") throw new Error("cannot be understood to its end");
  return whole;
}

// What a text in the filter means: a condition if it compares anything, else words to be found.
function filterOf(text) {
  if (!text.trim()) return () => true;
  if (/[<>=]/.test(text)) return condition(text);
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  return (row) => {
    const hay = [titleOf(row), T.status[row], T.key[row], T.baseline[row] || "", shortOf(row), T.error[row] === null ? "" : D.trials.errors[T.error[row]]]
      .join(" ").toLowerCase();
    return words.every((word) => hay.includes(word));
  };
}
