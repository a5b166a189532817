"""Shared by the built-in agents: open inputs, instructions from Markdown files, model settings by kind of work."""

from importlib.resources import files
from typing import Final

from pydantic import BaseModel, ConfigDict

from orchestrator.agents.artifacts import ARTIFACTS
from orchestrator.domain.agents import ModelSettings

# A low temperature for code, which must be correct; a higher one for prose.
CODE: Final = ModelSettings(default_temperature=0.2, max_tokens=8192)
ANALYSIS: Final = ModelSettings(default_temperature=0.3, max_tokens=8192)
DESIGN: Final = ModelSettings(default_temperature=0.6, max_tokens=8192)


class AgentInput(BaseModel):
    """Input of an agent that is executed alone. Other keys are passed to the agent too (D-025)."""

    model_config = ConfigDict(extra="allow")


def instructions(agent_id: str) -> str:
    """The instructions of a built-in agent: `prompts/<agent_id>.md`, then its promised files.

    Raises `FileNotFoundError` or `KeyError` if one is missing.
    """
    text = files("orchestrator.agents").joinpath("prompts", f"{agent_id}.md").read_text(encoding="utf-8")
    promised = "\n".join(f"- `{a.path}` ({a.media_type}): {a.purpose}" for a in ARTIFACTS[agent_id])
    return (
        f"{text.rstrip()}\n\n## Files to deliver\n\n{promised}\n\n"
        "Return each file in `deliverables` under exactly this path, with its whole content. Unless said otherwise "
        "above, the files carry the content and `output` explains it to its reader: decisions, reasons, open points.\n"
    )
