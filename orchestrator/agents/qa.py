"""The quality squad: test strategy, automation, performance and security testing."""

from typing import Final, Literal

from pydantic import Field

from orchestrator.agents.prompted import ANALYSIS, CODE, AgentInput, instructions
from orchestrator.domain.agents import Agent, AgentOutput, Squad


class TestStrategistInput(AgentInput):
    """The system to test."""

    description: str = Field(description="System or change to test")
    requirements: list[str] = Field(default_factory=list, description="Requirements or acceptance criteria")
    constraints: list[str] = Field(default_factory=list, description="Time, environments, data")


class TestStrategistOutput(AgentOutput):
    """A strategy that follows the risks."""

    risks: list[str] = Field(default_factory=list, description="Quality risks, the worst first.")
    test_cases: list[str] = Field(default_factory=list, description="`TC-1 (requirement): condition and result`.")
    exit_criteria: list[str] = Field(default_factory=list, description="What must hold before a release.")


class TestAutomationEngineerInput(AgentInput):
    """The behaviour to test automatically."""

    description: str = Field(description="Behaviour to test")
    framework: str = Field(default="pytest", description="Test framework")
    acceptance_criteria: list[str] = Field(default_factory=list, description="Criteria the suite must cover")


class TestAutomationEngineerOutput(AgentOutput):
    """A suite and what it covers."""

    covered: list[str] = Field(default_factory=list, description="Criteria with the test that covers each.")
    not_covered: list[str] = Field(default_factory=list, description="What the suite leaves out, with the reason.")
    fixtures: list[str] = Field(default_factory=list, description="Fixtures with their scope.")


class PerformanceTesterInput(AgentInput):
    """The load to test."""

    target: str = Field(description="System or endpoints under test")
    expected_load: str = Field(default="", description="Users, requests per second, data volume")
    objectives: list[str] = Field(default_factory=list, description="Latency, throughput and error objectives")


class PerformanceTesterOutput(AgentOutput):
    """Load scenarios with limits."""

    scenarios: list[str] = Field(default_factory=list, description="Scenarios with load profile and duration.")
    thresholds: list[str] = Field(default_factory=list, description="`measure: limit`, each fails the run.")
    suspected_bottlenecks: list[str] = Field(default_factory=list, description="Where to look first, and why.")


class SecurityTesterInput(AgentInput):
    """The system whose security may be tested."""

    target: str = Field(description="System, endpoints or code in scope")
    scope: list[str] = Field(default_factory=list, description="What may be tested")
    depth: Literal["quick", "standard", "deep"] = Field(default="standard", description="How far to go")


class SecurityTesterOutput(AgentOutput):
    """Weaknesses with evidence and fixes."""

    findings: list[str] = Field(default_factory=list, description="`F-1 (severity, CWE): weakness and evidence`.")
    attack_paths: list[str] = Field(default_factory=list, description="Chains of weaknesses that reach an asset.")
    repairs: list[str] = Field(default_factory=list, description="`F-1: repair`, in order of urgency.")


AGENTS: Final = (
    Agent(
        id="test_strategist",
        name="Test Strategist",
        squad=Squad.QA,
        description="Plans what to test, at which level, and when it is enough",
        capabilities=("test_planning", "risk_based_testing", "test_case_design", "release_criteria"),
        instructions=instructions("test_strategist"),
        input_model=TestStrategistInput,
        output_model=TestStrategistOutput,
        settings=ANALYSIS,
    ),
    Agent(
        id="test_automation_engineer",
        name="Test Automation Engineer",
        squad=Squad.QA,
        description="Writes reliable automated tests for APIs, data and user interfaces",
        capabilities=("test_automation", "api_testing", "regression_testing", "test_data"),
        instructions=instructions("test_automation_engineer"),
        input_model=TestAutomationEngineerInput,
        output_model=TestAutomationEngineerOutput,
        settings=CODE,
    ),
    Agent(
        id="performance_tester",
        name="Performance Tester",
        squad=Squad.QA,
        description="Designs load profiles, limits and capacity checks",
        capabilities=("load_testing", "capacity_planning", "latency_analysis", "bottleneck_analysis"),
        instructions=instructions("performance_tester"),
        input_model=PerformanceTesterInput,
        output_model=PerformanceTesterOutput,
        settings=CODE,
    ),
    Agent(
        id="security_tester",
        name="Security Tester",
        squad=Squad.QA,
        description="Finds exploitable weaknesses and proves the security controls",
        capabilities=("penetration_testing", "vulnerability_assessment", "owasp_top_10", "security_regression"),
        instructions=instructions("security_tester"),
        input_model=SecurityTesterInput,
        output_model=SecurityTesterOutput,
        settings=ANALYSIS,
    ),
)
