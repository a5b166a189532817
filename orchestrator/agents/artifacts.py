"""The files that each built-in agent promises to deliver. No two agents promise the same path."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Artifact:
    """A promised file: relative path, media type, and its purpose in one phrase."""

    path: str
    media_type: str
    purpose: str


_CSS: Final = "text/css"
_DOCKERFILE: Final = "text/x-dockerfile"
_HTML: Final = "text/html"
_JSON: Final = "application/json"
_MARKDOWN: Final = "text/markdown"
_PYTHON: Final = "text/x-python"
_SHELL: Final = "text/x-shellscript"
_SQL: Final = "text/x-sql"
_TYPESCRIPT: Final = "text/typescript"
_YAML: Final = "text/yaml"

ARTIFACTS: Final[Mapping[str, tuple[Artifact, ...]]] = {
    # business
    "product_manager": (
        Artifact("business/product_brief.md", _MARKDOWN, "one page: problem, decision, scope and measures of success"),
    ),
    "business_analyst": (
        Artifact("business/requirements.md", _MARKDOWN, "numbered requirements with rules and open questions"),
        Artifact("business/acceptance_criteria.json", _JSON, "criteria per requirement id, ready for a test suite"),
    ),
    "market_researcher": (
        Artifact("business/market_report.md", _MARKDOWN, "market, segments, competitors and what follows from them"),
        Artifact("business/competitors.json", _JSON, "one object per competitor: name, offer, strengths, weaknesses"),
    ),
    "project_planner": (
        Artifact("business/delivery_plan.md", _MARKDOWN, "work breakdown, estimates, dependencies and risks"),
        Artifact("business/milestones.json", _JSON, "milestones with scope, duration and exit criteria"),
    ),
    # frontend
    "ui_ux_designer": (
        Artifact("design/user_flows.md", _MARKDOWN, "personas, user flows and screen inventory"),
        Artifact("design/wireframes.html", _HTML, "wireframes of the main screens as one semantic page"),
    ),
    "frontend_developer": (
        Artifact("frontend/src/App.tsx", _TYPESCRIPT, "the React application: routes, screens and state"),
        Artifact("frontend/src/api/client.ts", _TYPESCRIPT, "the typed client of the backend API"),
    ),
    "design_system_engineer": (
        Artifact("design/tokens.json", _JSON, "design tokens: colour, type, space, radius, motion"),
        Artifact("frontend/src/styles/tokens.css", _CSS, "the same tokens as CSS custom properties"),
        Artifact("frontend/src/components/Button.tsx", _TYPESCRIPT, "the reference component built on the tokens"),
    ),
    "accessibility_specialist": (
        Artifact("quality/accessibility_audit.md", _MARKDOWN, "findings against WCAG 2.2 AA with repairs"),
        Artifact("quality/accessibility_issues.json", _JSON, "one object per finding: criterion, severity, repair"),
    ),
    # backend
    "api_architect": (
        Artifact("api/openapi.yaml", _YAML, "the API contract as OpenAPI 3.1"),
        Artifact("api/design.md", _MARKDOWN, "resources, conventions and the reasons for them"),
    ),
    "backend_developer": (
        Artifact("backend/app/main.py", _PYTHON, "the FastAPI service with its routes"),
        Artifact("backend/app/models.py", _PYTHON, "request, response and domain models"),
    ),
    "database_engineer": (
        Artifact("database/schema.sql", _SQL, "tables, constraints and indexes for PostgreSQL"),
        Artifact("database/queries.sql", _SQL, "the queries that the access patterns need"),
    ),
    "integration_engineer": (
        Artifact("backend/integrations/client.py", _PYTHON, "the client of the external system"),
        Artifact("backend/integrations/mapping.yaml", _YAML, "field mapping between the two systems"),
    ),
    "security_engineer": (
        Artifact("security/threat_model.md", _MARKDOWN, "assets, trust boundaries, threats and controls"),
        Artifact("security/policy.yaml", _YAML, "roles, permissions and security settings to enforce"),
    ),
    # data
    "data_architect": (
        Artifact("data/architecture.md", _MARKDOWN, "sources, layers, contracts and governance of the data"),
        Artifact("data/model.sql", _SQL, "the analytical model: facts, dimensions and keys"),
    ),
    "data_engineer": (
        Artifact("data/pipelines/ingest.py", _PYTHON, "an idempotent pipeline from source to model"),
        Artifact("data/pipelines/schedule.yaml", _YAML, "schedule, dependencies and freshness limits"),
    ),
    "data_analyst": (
        Artifact("data/analysis/report.md", _MARKDOWN, "questions, method, findings and their limits"),
        Artifact("data/analysis/metrics.sql", _SQL, "the queries behind each metric"),
    ),
    "ml_engineer": (
        Artifact("data/ml/train.py", _PYTHON, "training and evaluation against a baseline"),
        Artifact("data/ml/model_card.md", _MARKDOWN, "intended use, data, measures and limits of the model"),
    ),
    # qa
    "test_strategist": (
        Artifact("quality/test_strategy.md", _MARKDOWN, "risks, levels, environments and exit criteria"),
        Artifact("quality/test_cases.json", _JSON, "test cases with preconditions, steps and expected results"),
    ),
    "test_automation_engineer": (
        Artifact("tests/conftest.py", _PYTHON, "fixtures of the suite"),
        Artifact("tests/test_acceptance.py", _PYTHON, "automated checks of the acceptance criteria"),
    ),
    "performance_tester": (
        Artifact("tests/performance/load_test.py", _PYTHON, "the load profile as a Locust script"),
        Artifact("tests/performance/thresholds.json", _JSON, "limits per scenario that fail the run"),
    ),
    "security_tester": (
        Artifact("quality/security_findings.md", _MARKDOWN, "attack paths tried or to try, with severity and repair"),
        Artifact("tests/security/test_security.py", _PYTHON, "automated checks of the security controls"),
    ),
    # devops
    "cloud_architect": (
        Artifact("infrastructure/architecture.md", _MARKDOWN, "target architecture, sizing, cost and trade-offs"),
        Artifact("infrastructure/topology.yaml", _YAML, "components, networks and connections"),
    ),
    "infrastructure_engineer": (
        Artifact("infrastructure/compose.yaml", _YAML, "the whole system on one machine"),
        Artifact("infrastructure/kubernetes/deployment.yaml", _YAML, "workloads, services, probes and limits"),
    ),
    "cicd_engineer": (
        Artifact(".github/workflows/ci.yaml", _YAML, "the pipeline: lint, test, build, scan, release"),
        Artifact("Dockerfile", _DOCKERFILE, "a small image that runs as an ordinary user"),
        Artifact("scripts/deploy.sh", _SHELL, "deployment with health check and roll-back"),
    ),
    "site_reliability_engineer": (
        Artifact("operations/runbook.md", _MARKDOWN, "detection, diagnosis, mitigation and escalation"),
        Artifact("operations/alerts.yaml", _YAML, "service level objectives and Prometheus alert rules"),
    ),
    # documentation
    "technical_writer": (Artifact("docs/guide.md", _MARKDOWN, "the document asked for: guide, report or post-mortem"),),
    "api_documenter": (
        Artifact("docs/api_reference.md", _MARKDOWN, "reference of every operation with examples and errors"),
        Artifact("docs/examples/quickstart.py", _PYTHON, "a first call that a reader can run"),
    ),
    "knowledge_curator": (
        Artifact("docs/navigation.yaml", _YAML, "the site's page tree"),
        Artifact("docs/glossary.md", _MARKDOWN, "one meaning for each term"),
    ),
}
