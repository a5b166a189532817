"""A design system: foundations, components in code, and the proof that they are accessible."""

from typing import Final

from orchestrator.domain.commands import JobResult
from orchestrator.domain.plans import Plan, Step, WorkflowDefinition

DEFINITION: Final = WorkflowDefinition(
    id="design_system",
    name="Design System",
    description="Tokens, components and guidelines that several products can share",
    complexity="medium",
    estimated_time="8-14 minutes",
    estimated_cost="$0.30-$0.60",
    input_schema={
        "type": "object",
        "properties": {
            "brand_name": {"type": "string", "description": "Brand or product family"},
            "description": {"type": "string", "description": "Character of the brand, products, users"},
            "platforms": {"type": "array", "items": {"type": "string"}, "description": "Where it is used"},
            "components": {"type": "array", "items": {"type": "string"}, "description": "Components wanted first"},
            "colors": {"type": "array", "items": {"type": "string"}, "description": "Colours that are given"},
        },
        "required": ["brand_name", "description"],
    },
    output_schema=JobResult.model_json_schema(),
    plan=Plan(
        steps=(
            Step(
                id="design_foundations",
                name="Design Foundations",
                squad="frontend",
                agents=("ui_ux_designer",),
                estimated_time="2-4 minutes",
                instruction=(
                    "Lay the foundations: principles, colour roles with contrast ratios, type scale, spacing, and "
                    "the patterns that the products share, shown on typical screens."
                ),
            ),
            Step(
                id="component_library",
                name="Component Library",
                squad="frontend",
                agents=("design_system_engineer",),
                needs=("design_foundations",),
                estimated_time="2-4 minutes",
                instruction=(
                    "Turn the foundations into tokens and specify the components, with the button as reference."
                ),
            ),
            Step(
                id="showcase_application",
                name="Showcase Application",
                squad="frontend",
                agents=("frontend_developer",),
                needs=("design_foundations", "component_library"),
                estimated_time="2-3 minutes",
                instruction=(
                    "Build an application that shows every component in all variants, states and themes, using only "
                    "the tokens. Its client file loads the tokens and switches themes instead of calling an API."
                ),
            ),
            Step(
                id="accessibility_review",
                name="Accessibility Review",
                squad="frontend",
                agents=("accessibility_specialist",),
                needs=("design_foundations", "component_library"),
                estimated_time="2-3 minutes",
                instruction="Audit tokens and components: contrast in both themes, focus, keyboard, roles and names.",
            ),
            Step(
                id="usage_guidelines",
                name="Usage Guidelines",
                squad="documentation",
                agents=("technical_writer",),
                needs=("design_foundations", "component_library", "accessibility_review"),
                estimated_time="2-3 minutes",
                instruction="Write the guide for designers and developers: how to use, theme, extend and contribute.",
            ),
        )
    ),
)
