"""The agents that perform agents of users (O-021). The list of 28 agents does not contain them."""

from typing import Any, Final

from pydantic import Field

from orchestrator.agents.prompted import ANALYSIS, AgentInput
from orchestrator.domain.agents import Agent, AgentOutput, FunctionCall
from orchestrator.domain.errors import AgentError
from orchestrator.domain.frameworks import FRAMEWORK_UNAVAILABLE
from orchestrator.domain.user_agents import UNAVAILABLE_AGENT, USER_AGENT

_SQUAD: Final = "user"
_SOURCE: Final = "orchestrator/agents/user_made.py"
_INSTRUCTIONS: Final = """\
You perform an agent that a user made. The input says who you are and what is asked of you:

- `agent` is your name and `description` what you are for.
- `configuration` is how your user set you up: role, goal, backstory, instructions, tasks, tools, limits, in whatever
  words they chose. It is meant for you: follow it.
- `framework` is the kind of agent that your user had in mind. You are not run by that framework: where it would plan,
  delegate or iterate, do so yourself before you answer. Do not claim to have run code, called a tool, searched the web
  or asked another agent; say what you would need instead.
- `input` is what is asked of you now. When it is empty, do what your description and configuration ask for.

Answer in `output` as Markdown, in the depth that the input asks for. Put files into `deliverables` only if files are
asked for.
"""


class UserAgentInput(AgentInput):
    """An agent of a user, and its task."""

    agent: str = Field(description="The agent's name")
    description: str = Field(default="", description="What it is for")
    framework: str = Field(description="The framework that it was made for")
    configuration: dict[str, Any] = Field(default_factory=dict, description="How its user set it up; free-form")
    input: dict[str, Any] = Field(default_factory=dict, description="What is asked of it now; free-form")


async def _unavailable(call: FunctionCall) -> AgentOutput:
    framework = call.input["framework"]
    raise AgentError(
        f"No worker offers the framework {framework}, and the agent's configuration allows no fallback.",
        kind=FRAMEWORK_UNAVAILABLE,
        retryable=False,
    )


AGENTS: Final = (
    Agent(
        id=USER_AGENT,
        name="User Agent",
        squad=_SQUAD,
        description="Performs an agent that a user made, from its name, description and configuration",
        capabilities=("user_defined_work",),
        instructions=_INSTRUCTIONS,
        input_model=UserAgentInput,
        settings=ANALYSIS.model_copy(update={"default_temperature": 0.7}),
        source=_SOURCE,
        listed=False,
    ),
    Agent(
        id=UNAVAILABLE_AGENT,
        name="Unavailable User Agent",
        squad=_SQUAD,
        description="Fails at once: no worker offers the framework of a user's agent, and no fallback is allowed",
        capabilities=("user_defined_work",),
        input_model=UserAgentInput,
        function=_unavailable,
        source=_SOURCE,
        listed=False,
    ),
)
