"""Drafts a decision from its context: a limited trial of the goal, within the given time and budget."""

import re
from typing import Any, Final

from orchestrator.agents.decisions import AGENT
from orchestrator.runtime.offline.subject import Subject
from orchestrator.runtime.offline.words import ascii_words, clean

_GOAL: Final = re.compile(r"goal|objective|aim|question|problem|decision|intent|challenge")
_TIME: Final = re.compile(r"time|deadline|quarter|date|duration|horizon|period")
_MONEY: Final = re.compile(r"budget|cost|money|funds|spend|invest")
_CODE_WORDS: Final = 5
_LIMIT: Final = 160
_TRIAL_SHARE: Final = 20
_PHASES: Final = (("first quarter", "2 weeks"), ("middle half", "6 weeks"), ("last quarter", "2 weeks"))


def decision_fields(subject: Subject) -> dict[str, Any]:
    """The typed fields of a decision. If the context names no goal, the decision is to define one."""
    facts = [(label, clean(text, _LIMIT)) for label, text in subject.notes]
    titles = [text for text in dict.fromkeys((subject.name, subject.about)) if text != AGENT.name]
    points = [point.text for point in subject.points if point.text not in (AGENT.name, *titles)]
    duration, money = _first(facts, _TIME), _first(facts, _MONEY)
    context = "; ".join([*titles, *(f"{label} = {text}" for label, text in facts), *points, *subject.stack])[:800]
    goal = _goal(titles, facts, points)
    if goal is None:
        return _no_goal(context)
    return {
        "decision": "_".join(["PILOT", *_code(goal)]),
        "rationale": (
            f"Offline draft, derived from the given context without a language model. Given: {context}. "
            f"A bounded trial of '{goal}' commits least before there is evidence; "
            "configure a model provider for a judgement of the alternatives."
        ),
        "implementation_plan": _plan(goal, duration, money),
        "success_metrics": [
            f"{goal}: measured change against the baseline of phase 1",
            *([f"The trial is done within {duration}"] if duration else []),
            *([f"Spending stays within {money}"] if money else []),
        ],
        "risk_mitigation": [
            f"No lasting commitment to '{goal}' before the trial is judged",
            "Agree before phase 2 on the result at which the trial is stopped",
        ],
    }


def _goal(titles: list[str], facts: list[tuple[str, str]], points: list[str]) -> str | None:
    """The fact labelled as the goal, else the description, else the first other text."""
    other_facts = (text for label, text in facts if not _TIME.search(label) and not _MONEY.search(label))
    goal = _first(facts, _GOAL) or next(iter([*reversed(titles), *other_facts, *points]), None)
    return clean(goal.replace("_", " "), _LIMIT) if goal else None


def _plan(goal: str, duration: str | None, money: str | None) -> list[dict[str, Any]]:
    trial = f"Try '{goal}' on a small scale"
    if (amount := _number(money)) is not None:
        trial += f" with at most {_TRIAL_SHARE} % of the budget ({amount * _TRIAL_SHARE / 100:g} of {money})"
    measure = f"Measure where '{goal}' stands today and agree on the target"
    actions = (measure, trial, "Compare the trial with the target; extend it, change it or stop")
    return [
        {"phase": number, "action": action, "timeline": f"{share} of {duration}" if duration else weeks}
        for number, (action, (share, weeks)) in enumerate(zip(actions, _PHASES, strict=True), 1)
    ]


def _no_goal(context: str) -> dict[str, Any]:
    reason = f"only this is given: {context}" if context else "it is empty"
    return {
        "decision": "GATHER_CONTEXT",
        "rationale": f"Offline draft without a language model. The context names no goal ({reason}).",
        "implementation_plan": [
            {"phase": 1, "action": "State the goal, the time and the budget of the decision", "timeline": "1 week"}
        ],
        "success_metrics": ["Goal, time frame and budget are written down"],
        "risk_mitigation": ["Commit to nothing before the goal is known"],
    }


def _first(facts: list[tuple[str, str]], label: re.Pattern[str]) -> str | None:
    return next((text for name, text in facts if label.search(name)), None)


def _code(text: str) -> list[str]:
    """The first words of a text in capitals; `GOAL` for a text without Latin words."""
    return [word.upper() for word in ascii_words(text)[:_CODE_WORDS] if len(word) <= 15] or ["GOAL"]


def _number(text: str | None) -> float | None:
    match = re.fullmatch(r"\D{0,4}(\d+(?:\.\d+)?)\D{0,4}", (text or "").replace(",", "").replace(" ", ""))
    return float(match[1]) if match else None
