"""The frontend squad: user experience, web applications, design systems and accessibility."""

from typing import Final, Literal

from pydantic import Field

from orchestrator.agents.prompted import ANALYSIS, CODE, DESIGN, AgentInput, instructions
from orchestrator.domain.agents import Agent, AgentOutput, Squad


class UiUxDesignerInput(AgentInput):
    """The product to design."""

    description: str = Field(description="Product or feature to design")
    users: list[str] = Field(default_factory=list, description="Who uses it, and to what end")
    platforms: list[str] = Field(default_factory=list, description="Web, iOS, Android, kiosk, …")


class UiUxDesignerOutput(AgentOutput):
    """Flows and screens."""

    screens: list[str] = Field(default_factory=list, description="Every screen with its purpose.")
    user_flows: list[str] = Field(default_factory=list, description="Each flow as `start → … → goal`.")
    design_decisions: list[str] = Field(default_factory=list, description="Choices with the reason for each.")


class FrontendDeveloperInput(AgentInput):
    """The web application to build."""

    description: str = Field(description="Screens and behaviour to implement")
    framework: str = Field(default="react", description="UI framework")
    endpoints: list[str] = Field(default_factory=list, description="API operations the application calls")


class FrontendDeveloperOutput(AgentOutput):
    """A web application in components and routes."""

    components: list[str] = Field(default_factory=list, description="Components with their responsibility.")
    routes: list[str] = Field(default_factory=list, description="Client-side routes, `path: screen`.")
    dependencies: list[str] = Field(default_factory=list, description="npm packages with the reason for each.")


class DesignSystemEngineerInput(AgentInput):
    """The purpose of the design system."""

    description: str = Field(description="Brand, products and constraints the system serves")
    components: list[str] = Field(default_factory=list, description="Components wanted first")
    framework: str = Field(default="react", description="UI framework of the components")


class DesignSystemEngineerOutput(AgentOutput):
    """Tokens and components."""

    tokens: list[str] = Field(default_factory=list, description="Semantic tokens, `name: value`.")
    components: list[str] = Field(default_factory=list, description="Components with variants and states.")
    guidelines: list[str] = Field(default_factory=list, description="Rules of use that a reviewer can check.")


class AccessibilitySpecialistInput(AgentInput):
    """The interface to audit."""

    target: str = Field(description="Markup, design or product description to audit")
    standard: Literal["wcag_2_1_aa", "wcag_2_2_aa", "wcag_2_2_aaa"] = Field(
        default="wcag_2_2_aa", description="Standard to audit against"
    )
    assistive_technologies: list[str] = Field(default_factory=list, description="Technologies that must work")


class AccessibilitySpecialistOutput(AgentOutput):
    """Findings against the standard."""

    verdict: Literal["conforms", "partially_conforms", "does_not_conform", "undetermined"] = Field(
        default="undetermined", description="Conformance, if the material is sufficient to decide."
    )
    issues: list[str] = Field(default_factory=list, description="`criterion, severity: barrier and who meets it`.")
    repairs: list[str] = Field(default_factory=list, description="Repairs in order of benefit.")


AGENTS: Final = (
    Agent(
        id="ui_ux_designer",
        name="UI/UX Designer",
        squad=Squad.FRONTEND,
        description="Design systems, wireframes, accessibility",
        capabilities=("design_system", "wireframes", "user_flows", "accessibility_audit"),
        instructions=instructions("ui_ux_designer"),
        input_model=UiUxDesignerInput,
        output_model=UiUxDesignerOutput,
        settings=DESIGN,
    ),
    Agent(
        id="frontend_developer",
        name="Frontend Developer",
        squad=Squad.FRONTEND,
        description="Builds typed, tested web applications with React and TypeScript",
        capabilities=("react_development", "typescript", "state_management", "api_integration"),
        instructions=instructions("frontend_developer"),
        input_model=FrontendDeveloperInput,
        output_model=FrontendDeveloperOutput,
        settings=CODE,
    ),
    Agent(
        id="design_system_engineer",
        name="Design System Engineer",
        squad=Squad.FRONTEND,
        description="Turns design decisions into tokens, themes and reusable components",
        capabilities=("design_tokens", "component_library", "theming", "css_architecture"),
        instructions=instructions("design_system_engineer"),
        input_model=DesignSystemEngineerInput,
        output_model=DesignSystemEngineerOutput,
        settings=CODE,
    ),
    Agent(
        id="accessibility_specialist",
        name="Accessibility Specialist",
        squad=Squad.FRONTEND,
        description="Audits designs and code against WCAG and proposes repairs",
        capabilities=("wcag_audit", "keyboard_navigation", "screen_reader_support", "color_contrast"),
        instructions=instructions("accessibility_specialist"),
        input_model=AccessibilitySpecialistInput,
        output_model=AccessibilitySpecialistOutput,
        settings=ANALYSIS,
    ),
)
