"""Drafts a decision from its context alone: a bounded trial of the goal, within the time and money that are given."""

import re
from typing import Any, Final

from orchestrator.agents.deciding import AGENT
from orchestrator.runtime.offline.subject import Subject
from orchestrator.runtime.offline.words import ascii_words, clean

_GOAL: Final = re.compile(r"goal|objective|aim|question|problem|decision|intent|challenge")
_TIME: Final = re.compile(r"time|deadline|quarter|date|duration|horizon|period")
_MONEY: Final = re.compile(r"budget|cost|money|funds|spend|invest")
_CODE_WORDS: Final = 5
_LIMIT: Final = 160
_TRIAL_SHARE: Final = 20


def decision_fields(subject: Subject) -> dict[str, Any]:
    """The typed fields of a decision. While the context names no goal, the decision is to gather it."""
    facts = [(label, clean(text, _LIMIT)) for label, text in subject.notes]
    named = [text for text in dict.fromkeys((subject.name, subject.about)) if text != AGENT.name]
    points = [point.text for point in subject.points if point.text not in (AGENT.name, *named)]
    span, money = _first(facts, _TIME), _first(facts, _MONEY)
    given = "; ".join([*named, *(f"{label} = {text}" for label, text in facts), *points, *subject.stack])[:800]
    goal = _goal(named, facts, points)
    if goal is None:
        return _no_goal(given)
    within = "".join([f" within {span}" if span else "", f" and a budget of {money}" if money else ""])
    return {
        "decision": "_".join(["PILOT", *_words(goal)]),
        "rationale": (
            f"Offline draft, derived from the given context without a language model. Given: {given}. "
            f"A bounded trial of '{goal}'{within} commits least before there is evidence; "
            "configure a model provider for a judgement of the alternatives."
        ),
        "implementation_plan": _plan(goal, span, money, points),
        "success_metrics": [
            f"{_sentence(goal)}: measured change against the baseline of phase 1",
            *([f"The trial is done within {span}"] if span else []),
            *([f"Spending stays within {money}"] if money else []),
            *(f"Shown to hold: {point}" for point in points[:2]),
        ],
        "risk_mitigation": [
            f"No lasting commitment to '{goal}' before the trial is judged",
            "Agree before phase 2 on the result at which the trial is stopped",
            *([f"Release the budget of {money} phase by phase"] if money else []),
            *(f"Check at the end of every phase: {label} = {text}" for label, text in _conditions(facts)[:3]),
        ],
    }


def _goal(named: list[str], facts: list[tuple[str, str]], points: list[str]) -> str | None:
    """What the decision is about: a fact whose label says so, the description, else the first text of substance."""
    others = (text for label, text in facts if not _TIME.search(label) and not _MONEY.search(label))
    chosen = _first(facts, _GOAL) or next(iter([*reversed(named), *others, *points]), None)
    return clean(chosen.replace("_", " "), _LIMIT) if chosen else None


def _plan(goal: str, span: str | None, money: str | None, points: list[str]) -> list[dict[str, Any]]:
    trial = f"Try '{goal}' on a small scale"
    if (amount := _number(money)) is not None:
        trial += f" with at most {_TRIAL_SHARE} % of the budget ({amount * _TRIAL_SHARE / 100:g} of {money})"
    actions = [
        f"Measure where '{goal}' stands today and agree on the target",
        trial + (f", covering: {'; '.join(points[:3])}" if points else ""),
        "Compare the trial with the target; extend it, change it or stop",
    ]
    lengths = [f"{share} of {span}" if span else weeks for share, weeks in _SHARES]
    return [{"phase": n + 1, "action": actions[n], "timeline": lengths[n]} for n in range(len(actions))]


_SHARES: Final = (("first quarter", "2 weeks"), ("middle half", "6 weeks"), ("last quarter", "2 weeks"))


def _no_goal(given: str) -> dict[str, Any]:
    known = f"only this is given: {given}" if given else "it is empty"
    return {
        "decision": "GATHER_CONTEXT",
        "rationale": f"Offline draft without a language model. The context names no goal ({known}).",
        "implementation_plan": [
            {"phase": 1, "action": "State the goal, the time and the budget of the decision", "timeline": "1 week"}
        ],
        "success_metrics": ["Goal, time frame and budget are written down"],
        "risk_mitigation": ["Commit to nothing before the goal is known"],
    }


def _conditions(facts: list[tuple[str, str]]) -> list[tuple[str, str]]:
    """What is given beside goal, time and money."""
    return [fact for fact in facts if not any(kind.search(fact[0]) for kind in (_GOAL, _TIME, _MONEY))]


def _first(facts: list[tuple[str, str]], wanted: re.Pattern[str]) -> str | None:
    return next((text for label, text in facts if wanted.search(label)), None)


def _words(text: str) -> list[str]:
    """The first words of a text for a code; of a text without Latin words, what stands for it."""
    return [word.upper() for word in ascii_words(text)[:_CODE_WORDS] if len(word) <= 15] or ["GOAL"]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def _number(text: str | None) -> float | None:
    found = re.fullmatch(r"\D{0,4}(\d+(?:\.\d+)?)\D{0,4}", (text or "").replace(",", "").replace(" ", ""))
    return float(found[1]) if found else None
