"""The agents of chat: groups of agents of the catalogue, and unlisted agents that review, merge and judge."""

from typing import Annotated, Final, Literal

from pydantic import Field, WithJsonSchema

from orchestrator.agents.prompted import ANALYSIS, AgentInput
from orchestrator.domain.agents import Agent, AgentOutput
from orchestrator.domain.conversations import Mode, Swarm
from orchestrator.domain.plans import Plan, Step, Timeouts

SQUAD: Final = "chat"
REVIEWER: Final = "chat_reviewer"
MERGER: Final = "chat_merger"
JUDGE: Final = "chat_judge"


# The first agent of a group is its lead. In a debate the second one opposes the first.
MEMBERS: Final = {
    Swarm.CODING_TEAM: ("backend_developer", "frontend_developer", "test_automation_engineer"),
    Swarm.RESEARCH_TEAM: ("knowledge_curator", "data_analyst", "market_researcher"),
    Swarm.CREATIVE_TEAM: ("technical_writer", "ui_ux_designer", "product_manager"),
    Swarm.CODING_DEBATE: ("backend_developer", "api_architect"),
}

# `null` comes first: the offline drafter uses the first type, and it cannot judge an answer.
_SCORE_SCHEMA: Final = {
    "type": ["null", "number"],
    "minimum": 0,
    "maximum": 1,
    "description": "How well the message is answered, from 0 to 1; null when you cannot judge it.",
}
Score = Annotated[float | None, Field(ge=0, le=1), WithJsonSchema(_SCORE_SCHEMA)]


class MessageInput(AgentInput):
    """A chat message."""

    message: str = Field(description="What the user says")


class Judgement(AgentOutput):
    """An answer with its assessment."""

    score: Score = None
    verdict: Literal["not_judged", "accept", "revise", "reject"] = Field(
        default="not_judged", description="What to do with the drafts."
    )
    findings: list[str] = Field(default_factory=list, description="Faults and gaps, the gravest first.")


_TO_USER: Final = (
    "The input is a chat message. `message` is what the user says, `user_context` what their client says about them, "
    "`history` the earlier turns of the conversation, oldest first. Write to the user in `output`, in the depth that "
    "the message asks for and no more. Leave `deliverables` empty unless the user asks for files."
)
_TIMEOUTS: Final = Timeouts(start_to_close=180, schedule_to_close=900)

_REVIEW: Final = (
    "Check each draft against the message: is it right, is it complete, does it answer what was asked? Name the faults "
    "in `findings`, say in `verdict` what is to be done, and put into `score` how good the best draft is. Score "
    "strictly: 0.5 is an answer that helps but misleads or leaves out something that matters, 0.9 one that you would "
    "send unchanged."
)
_MERGE: Final = (
    "Take the best of every draft, fix what the critique found, and write one answer in one voice. Do not mention the "
    "drafts."
)
_JUDGE: Final = (
    "Weigh the proposals against the message and against each other, decide, and give the user the answer that "
    "follows, with the reasons for it and the strongest point of the other side. Put into `score` how well the answer "
    "that you give is supported by the debate."
)


def _agent(id: str, name: str, description: str, instructions: str, output_model: type[AgentOutput]) -> Agent:
    return Agent(
        id=id,
        name=name,
        squad=SQUAD,
        description=description,
        capabilities=("chat",),
        instructions=f"You are the {name.lower()} of a team that answers chat messages. {instructions}",
        input_model=MessageInput,
        output_model=output_model,
        settings=ANALYSIS,
        listed=False,
        source="orchestrator/agents/chat.py",
    )


AGENTS: Final = (
    _agent(REVIEWER, "Answer Reviewer", "Checks drafted answers, scores and corrects them", _REVIEW, Judgement),
    _agent(MERGER, "Answer Merger", "Makes one answer of several drafts and their critique", _MERGE, AgentOutput),
    _agent(JUDGE, "Debate Judge", "Weighs two opposed proposals and decides", _JUDGE, Judgement),
)


def definition_id(swarm: Swarm, mode: Mode) -> str:
    """The workflow type of a turn's job, such as `chat_coding_team_balanced`."""
    return f"chat_{swarm.replace('-', '_')}_{mode}"


CHAT_DEFINITIONS: Final = frozenset(definition_id(swarm, mode) for swarm in Swarm for mode in Mode)
"""All workflow types of chat jobs; the catalogue does not list them."""


def chat_plan(swarm: Swarm, mode: Mode) -> tuple[Plan, str, str | None]:
    """The plan of one answer, the id of the step that gives it, and the id of the step that judges it, or None.

    lite: a draft of the lead. balanced: a draft and its review. quality: drafts of all members, a critique, a merge.
    A debate is two opposed drafts and a judge; in quality, each side also replies to the other.
    """
    members = MEMBERS[swarm]
    if mode is Mode.LITE:
        return Plan(steps=(_step("draft", "Draft", members[:1], "Answer the message."),)), "draft", None
    if swarm is Swarm.CODING_DEBATE:
        return _debate(members[0], members[1], rebuttals=mode is Mode.QUALITY), "judgement", "judgement"
    if mode is Mode.BALANCED:
        draft = _step("draft", "Draft", members[:1], "Answer the message.")
        task = "Review the draft and give the user the answer, corrected where it has to be, in `output`."
        return Plan(steps=(draft, _step("review", "Review", (REVIEWER,), task, needs=("draft",)))), "review", "review"
    drafts = _step("drafts", "Drafts", members, "Answer the message from the point of view of your role.")
    critique = _step(
        "critique", "Critique", (REVIEWER,), "Criticise the drafts; `output` is your critique.", needs=("drafts",)
    )
    answer = _step("answer", "Answer", (MERGER,), "Give the user one answer.", needs=("drafts", "critique"))
    return Plan(steps=(drafts, critique, answer)), "answer", "critique"


def _debate(first: str, second: str, *, rebuttals: bool) -> Plan:
    propose = _step("proposal", "Proposal", (first,), "Propose an answer to the message and argue for it.")
    oppose = _step(
        "opposition",
        "Opposition",
        (second,),
        "Somebody will propose the obvious answer to the message. Propose the best different one, and argue for it.",
    )
    steps = [propose, oppose]
    needs: tuple[str, ...] = ("proposal", "opposition")
    if rebuttals:
        task = "Answer the other side: what is right in it, what is wrong, and what your proposal becomes."
        steps.append(_step("rebuttals", "Rebuttals", (first, second), task, needs=needs))
        needs = (*needs, "rebuttals")
    steps.append(_step("judgement", "Judgement", (JUDGE,), "Decide the debate and answer the message.", needs=needs))
    return Plan(steps=tuple(steps))


def _step(id: str, name: str, agents: tuple[str, ...], task: str, needs: tuple[str, ...] = ()) -> Step:
    return Step(
        id=id,
        name=name,
        squad=SQUAD,
        agents=agents,
        needs=needs,
        estimated_time="10-60 seconds",
        instruction=f"{task} {_TO_USER}",
        timeouts=_TIMEOUTS,
    )
