"""A market, examined from the outside and through data, down to a product decision."""

from typing import Final

from orchestrator.domain.commands import JobResult
from orchestrator.domain.plans import Plan, Step, WorkflowDefinition

DEFINITION: Final = WorkflowDefinition(
    id="market_research",
    name="Market Research",
    description="Market, competitors and metrics, and the product decision that follows from them",
    complexity="low",
    estimated_time="5-9 minutes",
    estimated_cost="$0.20-$0.40",
    input_schema={
        "type": "object",
        "properties": {
            "topic": {"type": "string", "description": "Product, service or market to research"},
            "region": {"type": "string", "description": "Geographic scope"},
            "questions": {"type": "array", "items": {"type": "string"}, "description": "What has to be answered"},
            "data": {"type": "string", "description": "Figures or tables at hand"},
        },
        "required": ["topic"],
    },
    output_schema=JobResult.model_json_schema(),
    plan=Plan(
        steps=(
            Step(
                id="market_analysis",
                name="Market Analysis",
                squad="business",
                agents=("market_researcher",),
                estimated_time="2-3 minutes",
                instruction="Map the market of the topic: segments, competitors, size with its arithmetic, barriers.",
            ),
            Step(
                id="metrics_analysis",
                name="Metrics Analysis",
                squad="data",
                agents=("data_analyst",),
                estimated_time="2-3 minutes",
                instruction=(
                    "Define the metrics that would prove or refute demand for the topic. Analyse the data of the "
                    "input; where there is none, say which data to collect and how each outcome would be read."
                ),
            ),
            Step(
                id="product_strategy",
                name="Product Strategy",
                squad="business",
                agents=("product_manager",),
                needs=("market_analysis", "metrics_analysis"),
                estimated_time="2-3 minutes",
                instruction=(
                    "Decide what to build first, for which segment, and how it is positioned; write it as a "
                    "prioritized roadmap with measures. Recommend not to enter the market if the analysis says so."
                ),
            ),
            Step(
                id="research_report",
                name="Research Report",
                squad="documentation",
                agents=("technical_writer",),
                needs=("market_analysis", "metrics_analysis", "product_strategy"),
                estimated_time="1-2 minutes",
                instruction="Write a report for decision makers: conclusion first, evidence, limits, next steps.",
            ),
        )
    ),
)
