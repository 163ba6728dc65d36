"""The sentences of a report. Sober: what was measured, and what it does not say."""

from __future__ import annotations

import math
import re
import shlex
from collections import Counter
from collections.abc import Mapping
from typing import Any

from results.report.source import Read
from results.trial import Trial
from results.wording import COST_NAMES, amount, count, percent

_STATES = {
    "running": "is running; this page shows what is known so far",
    "finished": "has finished",
    "exhausted": "ended before its budget was spent: the proposals brought no new network any more",
    "interrupted": "was interrupted, and can be resumed",
    "failing": "gave up, because one candidate after the other failed",
    "error": "ended with an error, and can be resumed",
    "killed": "was killed, and can be resumed",
    "new": "has not begun",
}
_DASH = "-"
_SUPERSCRIPT = str.maketrans("0123456789", "⁰¹²³⁴⁵⁶⁷⁸⁹")


def summary(found: Read) -> list[str]:
    """What was searched and found, one paragraph an entry."""
    return [text for text in (_search(found), _found(found), _measured(found)) if text]


def _search(found: Read) -> str:
    """What was searched, how many networks, how long."""
    space = found.config.get("space")
    name = space.get("name", "of its own") if isinstance(space, Mapping) else space
    size = math.prod(len(decision.choices) for decision in found.decisions)
    controller = (found.config.get("controller") or {}).get("name")
    budget = (found.config.get("search") or {}).get("candidates")
    state = _STATES.get(found.state, f"is in the state {found.state}")
    who = f", proposed by the controller {controller}" if controller else ""
    of = f", out of a budget of {budget:,}" if isinstance(budget, int) else ""
    text = (
        f"The search {found.name} {state}. It looked at {_networks(len(found.candidates))} of the space "
        f"{name} ({len(found.decisions)} decisions, {_size(size)} points){of}{who}."
    )
    return " ".join(part for part in (text, _ends(found), _took(found)) if part)


def _took(found: Read) -> str:
    seconds = [session.elapsed for session in found.sessions if session.elapsed is not None]
    if not seconds:
        return ""
    workers = found.sessions[-1].workers
    on = f" with {_number(workers, 'worker')}" if workers else ""
    over = f" in {len(seconds)} sessions" if len(seconds) > 1 else ""
    spent = sum(trial.seconds for trial in found.trials if trial.reused is None)
    return f"It took {duration(sum(seconds))}{over}{on}; all evaluations add up to {duration(spent)}."


def _found(found: Read) -> str:
    """The recommended network, the best observed, and the front."""
    best, bet = found.best, found.recommended
    if best is None:
        yet = "" if found.state in ("finished", "exhausted", "failing") else " yet"
        return f"No candidate has finished{yet}, so there is nothing to rank and no front."
    if bet is None:
        text = f"The best observed reward is that of {_described(best)}; the controller recommends none yet. "
    elif bet.id == best.id:
        text = f"The controller recommends {_described(bet)}, which also has the best observed reward. "
    else:
        text = (
            f"The controller recommends {_described(bet)}. The best observed reward is that of "
            f"{_described(best)}: a reward seen once may owe something to luck, and the recommendation "
            "allows for that. "
        )
    front = found.front.trials
    cost = COST_NAMES[found.cost]
    if len(front) == 1:
        return f"{text}One network alone is on the Pareto front of accuracy and {cost}."
    least, most = front[0], front[-1]

    def of_unit(trial: Trial) -> str:
        return amount(trial.cost(found.cost), found.cost)

    return (
        f"{text}{len(front)} of {len(found.done):,} networks are on the Pareto front of accuracy and {cost}, "
        f"from {percent(least.accuracy)} at {of_unit(least)} to "
        f"{percent(most.accuracy)} at {of_unit(most)}; it covers "
        f"{100 * found.front.hypervolume:.1f} % of the box up to "
        f"{amount(found.front.reference[found.cost], found.cost)} (hypervolume)."
    )


def _ends(found: Read) -> str:
    """How the candidates ended."""
    if not found.candidates:
        return ""
    counts: Counter[str] = Counter(trial.status for trial in found.candidates)
    parts = [
        f"{counts[status]:,} {words}"
        for status, words in (
            ("done", "finished"),
            ("failed", "failed"),
            ("stopped", "were stopped early"),
            ("running", "are being evaluated" if found.state == "running" else "were being evaluated"),
            ("pending", "wait" if found.state == "running" else "were still to come"),
        )
        if counts[status] or status in ("done", "failed")
    ]
    text = f"{', '.join(parts[:-1])} and {parts[-1]}"
    if counts["done"] < len(found.candidates):
        text += "; only those that finished have an accuracy"
    reused = sum(trial.reused is not None for trial in found.candidates)
    return f"{text}." + (f" {reused:,} measurements were taken over from earlier runs." if reused else "")


def _measured(found: Read) -> str:
    """What the reward is, and how an accuracy came about."""
    return f"{_objective(found.config.get('objective') or {})} {_protocol(found)}".strip()


def _objective(objective: Mapping[str, Any]) -> str:
    target = objective.get("target")
    if not target:
        return ""
    name = str(objective.get("cost", "macs"))
    cost, its = COST_NAMES.get(name, "cost"), amount(target, name, unit=False)
    alpha, beta = objective.get("alpha", -0.07), objective.get("beta", -0.07)
    if objective.get("form") == "absolute":
        return f"The reward is accuracy {_signed(beta)} · |{cost} / T - 1| with T = {its}."
    product = f"The reward is accuracy · ({cost} / T)^w with T = {its}"
    if alpha == beta:
        return f"{product} and w = {_signed(alpha, space='')}."
    return f"{product}, w = {_signed(alpha, space='')} up to T and {_signed(beta, space='')} above."


def _protocol(found: Read) -> str:
    evaluator = found.config.get("evaluator") or {}
    if evaluator.get("kind") == "table":
        noise = evaluator.get("noise")
        added = f", with {noise:g} points of noise added to each" if noise else ""
        return (
            f"Nothing was trained: accuracies were looked up in a table of published results{added}. {_MAC}"
        )
    if not _own_evaluator(found):
        given = _cut(found.facts.fingerprint)
        return f"Accuracies were given by a function outside this project ({given}). {_MAC}"
    protocol, data = found.config.get("protocol") or {}, found.config.get("data") or {}
    source = data.get("name") or data.get("cache") or "its data"
    subset = protocol.get("subset")
    part = f", on {subset:,} images of it" if isinstance(subset, int) else ""
    epochs = protocol.get("epochs")
    how_long = _number(epochs, "epoch") if isinstance(epochs, int) else "a while"
    return (
        f"Every network was trained for {how_long} on {source}{part} in batches of "
        f"{protocol.get('batch', '?')}, and its accuracy is that on images held out from the training set: "
        f"a proxy for full training, which ranks networks with some error. {_MAC}"
    )


_MAC = "One multiply-add counts as one MAC, which papers also call a FLOP."


def tiles(found: Read) -> list[dict[str, str]]:
    """The figures at the top: ``label``, ``value`` and a ``note``."""
    failed = sum(trial.status == "failed" for trial in found.candidates)
    shown = [("networks", f"{len(found.done):,}", f"finished; {failed:,} failed")]
    trial = found.recommended or found.best
    if trial is not None:
        named = "recommended" if found.recommended is not None else "best observed"
        shown += [
            ("accuracy", percent(trial.accuracy), f"{named}, candidate {trial.id}"),
            ("MACs", count(trial.macs), f"{named}; {count(trial.params)} parameters"),
            *_own_cost(trial, found.cost, named),
            ("reward", f"{trial.reward:.4f}" if trial.reward is not None else _DASH, named),
        ]
        if found.best is not None and found.best.reward is not None:
            of = f"networks, accuracy and {COST_NAMES[found.cost]}"
            shown.append(("Pareto front", f"{len(found.front.trials):,}", of))
    seconds = [session.elapsed for session in found.sessions if session.elapsed is not None]
    if seconds:
        shown.append(("duration", duration(sum(seconds)), _number(len(found.sessions), "session")))
    return [{"label": label, "value": value, "note": note} for label, value, note in shown]


def _own_cost(trial: Trial, cost: str, named: str) -> list[tuple[str, str, str]]:
    """The tile of a cost that was measured; MACs and parameters have one in any case."""
    value = trial.cost(cost)
    return [] if cost in ("macs", "params") else [(COST_NAMES[cost], amount(value, cost, unit=False), named)]


def reproduce(found: Read) -> dict[str, Any]:
    """How to run it again: ``commands`` with what each does, and ``facts`` that have to agree."""
    name = shlex.quote(found.name)
    seeds = sorted({trial.seed for trial in found.trials})
    facts = [["seed of the controller", str(found.config.get("seed", 0))]]
    if seeds:
        facts.append(["seed of the trainings", ", ".join(map(str, seeds[:10]))])
    if found.facts.fingerprint:
        facts.append(["fingerprint of protocol and data", _cut(found.facts.fingerprint)])
    return {
        "commands": [
            _again(found),
            _on(found),
            {"words": "Check this run: every key, cost and reward, and the controller by a replay.",
             "command": f"nas doctor {name}"},
            *([] if found.best is None else [
                {"words": "Take the recommended network away, with its weights where they were kept.",
                 "command": f"nas export {name}@best -o network"}]),
            {"words": "This page.", "command": f"nas report {name}"},
        ],
        "facts": facts,
        "words": (
            "On a CPU the same architecture, protocol and seed give the same accuracy to the last bit, at "
            "one number of threads (executor.cpus). With several workers results arrive in another order "
            "each time, and the controller then proposes other networks; with one worker the whole search is "
            "repeated. GPUs repeat a training nearly, not exactly."
        ),
    }  # fmt: skip


def _again(found: Read) -> dict[str, str]:
    """What runs the search anew."""
    config, name = f"runs/{found.name}/config.yaml", f"{found.name}-again"
    if not _own_evaluator(found):
        return {
            "words": "The same search under another name, from the configuration above and in Python, since "
            "its accuracies were given by a function.",
            "command": f"nas.run_search(nas.load_config({config!r}, name={name!r}), evaluator=...)",
        }
    return {
        "words": "The same search under another name, from the configuration above.",
        "command": f"nas search {shlex.quote(config)} --run {shlex.quote(name)}",
    }


def _on(found: Read) -> dict[str, str]:
    """What goes on with the search."""
    command = f"nas search --run {shlex.quote(found.name)} --resume"
    budget = (found.config.get("search") or {}).get("candidates")
    if found.state == "finished" and isinstance(budget, int):  # else it would end at once
        return {
            "words": "Go on with this one: a larger budget.",
            "command": f"{command} --set search.candidates={2 * budget}",
        }
    return {"words": "Go on with this one where it stopped.", "command": command}


def _own_evaluator(found: Read) -> bool:
    """Whether this project's training or tables gave the accuracies; their fingerprints are hashes."""
    looked_up = (found.config.get("evaluator") or {}).get("kind") == "table"
    unknown = not found.facts.fingerprint
    return looked_up or unknown or re.fullmatch(r"[0-9a-f]{64}", found.facts.fingerprint) is not None


def _described(trial: Trial) -> str:
    return (
        f"candidate {trial.id}: {percent(trial.accuracy)} accuracy, {count(trial.macs)} MACs, "
        f"{count(trial.params)} parameters{_latency(trial)}, reward "
        f"{_DASH if trial.reward is None else format(trial.reward, '.4f')}"
    )


def _latency(trial: Trial) -> str:
    latency = trial.cost("latency_ms")
    return "" if latency is None else f", {amount(latency, 'latency_ms')}"


def duration(seconds: float | None) -> str:
    """3725 as ``1 h 2 min``."""
    if seconds is None:
        return _DASH
    if seconds < 120:
        return f"{seconds:.0f} s" if seconds >= 10 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"{minutes} min"
    hours, rest = divmod(minutes, 60)
    return f"{hours} h {rest} min" if hours < 48 else f"{hours / 24:.1f} days"


def _number(number: int, what: str) -> str:
    return f"{number:,} {what}" + ("" if number == 1 else "s")


def _networks(number: int) -> str:
    return _number(number, "network")


def _size(size: int) -> str:
    """Points of a space."""
    if size < 10_000_000:
        return f"{size:,}"
    power = str(len(str(size)) - 1).translate(_SUPERSCRIPT)
    return f"{str(size)[0]}.{str(size)[1]} · 10{power}"


def _signed(value: float, space: str = " ") -> str:
    """With its sign."""
    return f"{'-' if value < 0 else '+' if space else ''}{space}{abs(value):g}"


def _cut(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:80]}…"
