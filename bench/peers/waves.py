"""The plan as waves of calls: without a scheduler of their own, authors write it like this by hand."""

from typing import Any, Final

from bench.agent_calls import STEPS

_WAVES: Final = (
    ("product_definition",),
    ("frontend_development", "backend_development"),
    ("data_foundation", "quality_assurance"),
    ("deployment",),
)
_STEPS: Final = {step.id: step for step in STEPS}


def waves() -> list[list[tuple[str, str]]]:
    """The step and the agent of each call, wave by wave."""
    return [[(step, agent) for step in wave for agent in _STEPS[step].agents] for wave in _WAVES]


def call_of(step: str, agent: str, input: dict[str, Any], answers: list[dict[str, Any]]) -> dict[str, Any]:
    """The arguments of one call: plain JSON, which every engine stores."""
    needs = _STEPS[step].needs
    return {
        "step": step,
        "title": _STEPS[step].name,
        "instruction": _STEPS[step].instruction,
        "agent": agent,
        "input": input,
        "context": [answer for answer in answers if answer["step"] in needs],
    }
