"""Drafts of JSON and YAML files, and the YAML they are written in."""

import json
import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath
from typing import Any, Final

from orchestrator.agents.artifacts import Artifact
from orchestrator.runtime.offline.answer import NOTICE_LINE, open_questions
from orchestrator.runtime.offline.subject import Point, Subject
from orchestrator.runtime.offline.words import clean, kebab, pascal, plural

_Build = Callable[[Subject], dict[str, Any]]


def json_file(artifact: Artifact, subject: Subject) -> str:
    """A JSON document; `draft` says what it is, because JSON has no comments."""
    build = _JSON_FILES.get(PurePosixPath(artifact.path).stem, _points)
    head = {"draft": NOTICE_LINE, "project": subject.name, "purpose": artifact.purpose}
    return json.dumps({**head, **build(subject)}, ensure_ascii=False, indent=2) + "\n"


def yaml_file(artifact: Artifact, subject: Subject) -> str:
    """A YAML document under a comment that says what it is."""
    build = _YAML_FILES.get(PurePosixPath(artifact.path).stem, _points)
    return f"# {NOTICE_LINE}\n# {clean(subject.name)}: {artifact.purpose}\n{to_yaml(build(subject))}"


def to_yaml(value: Any, indent: int = 0) -> str:
    """Mappings, lists and scalars as block YAML. Texts are double-quoted as in JSON, which YAML contains."""
    pad = "  " * indent
    if isinstance(value, Mapping) and value:
        return "".join(f"{pad}{_key(key)}:{_nested(item, indent)}" for key, item in value.items())
    if isinstance(value, list) and value:
        # An item is written one level deeper; its first line's indent makes room for the dash.
        return "".join(f"{pad}- {to_yaml(item, indent + 1)[len(pad) + 2 :]}" for item in value)
    return f"{pad}{_scalar(value)}\n"


def _nested(item: Any, indent: int) -> str:
    if isinstance(item, (Mapping, list)) and item:
        return "\n" + to_yaml(item, indent + 1)
    return f" {_scalar(item)}\n"


def _scalar(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)


def _key(key: str) -> str:
    plain = key.replace("_", "").replace("-", "").isalpha() and key not in ("on", "off", "yes", "no", "true", "false")
    return key if plain else _scalar(key)


def openapi(subject: Subject) -> dict[str, Any]:
    """An OpenAPI 3.1 document with one collection and one item path per resource."""
    paths: dict[str, Any] = {}
    schemas: dict[str, Any] = {}
    for point in subject.resources:
        name, collection = pascal(point.name), f"/{kebab(plural(point.name))}"
        schemas[name] = {
            "type": "object",
            "description": point.text,
            "required": ["id", "name"],
            "properties": {
                "id": {"type": "string"},
                "name": {"type": "string"},
                "created_at": {"type": "string", "format": "date-time"},
            },
        }
        one = {"$ref": f"#/components/schemas/{name}"}
        paths[collection] = {
            "get": _operation(f"List: {point.text}", f"list{name}", {"type": "array", "items": one}),
            "post": {**_operation(f"Create: {point.text}", f"create{name}", one, "201"), "requestBody": _content(one)},
        }
        identifier = {"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}
        paths[f"{collection}/{{id}}"] = {
            "parameters": [identifier],
            "get": _operation(f"Read one: {point.text}", f"get{name}", one),
        }
    info = {"title": subject.name, "version": "0.1.0", "description": f"{subject.about} ({NOTICE_LINE})"}
    return {"openapi": "3.1.0", "info": info, "paths": paths, "components": {"schemas": schemas}}


def _operation(summary: str, operation: str, schema: dict[str, Any], status: str = "200") -> dict[str, Any]:
    done = {"description": "Done", **_content(schema)}
    return {"summary": clean(summary, 120), "operationId": operation, "responses": {status: done}}


def _content(schema: dict[str, Any]) -> dict[str, Any]:
    return {"content": {"application/json": {"schema": schema}}}


def _points(subject: Subject) -> dict[str, Any]:
    return {"about": subject.about, "items": [{"id": p.id, "name": p.name, "text": p.text} for p in subject.points]}


def _each(key: str, make: Callable[[int, Point], dict[str, Any]]) -> _Build:
    """A file that is one list with an object for every point."""
    return lambda subject: {key: [make(n, point) for n, point in enumerate(subject.points)]}


def design_tokens(subject: Subject) -> dict[str, dict[str, str]]:
    """Plain tokens by group; the first hexadecimal colour that is given is the accent."""
    given = re.search(r"#[0-9a-fA-F]{6}\b", " ".join(text for _, text in subject.notes))
    accent = {"accent": given[0].lower()} if given else {}
    return {**_TOKENS, "color": _TOKENS["color"] | accent}


def _tokens(subject: Subject) -> dict[str, Any]:
    return {**design_tokens(subject), "components": [kebab(point.name) for point in subject.resources]}


def _thresholds(subject: Subject) -> dict[str, Any]:
    limits = {"p95_ms": 500, "p99_ms": 1000, "error_rate": 0.01}
    return {"scenarios": {p.name: {"covers": p.text, **limits} for p in subject.resources}}


def _competitors(subject: Subject) -> dict[str, Any]:
    slots: list[dict[str, Any]] = [
        {"name": None, "offer": point.text, "strengths": [], "weaknesses": []} for point in subject.points
    ]
    return {"note": "Names need research; each slot lists what to compare.", "competitors": slots}


def _policy(subject: Subject) -> dict[str, Any]:
    names = [plural(point.name) for point in subject.resources]
    return {
        "roles": {
            "admin": [f"{name}:*" for name in names],
            "member": [f"{name}:{verb}" for name in names for verb in ("read", "write")],
            "guest": [f"{name}:read" for name in names],
        },
        "settings": {"session_minutes": 30, "require_tls": True, "failed_logins_before_lock": 5},
        "protects": [point.text for point in subject.points],
    }


def _schedule(subject: Subject) -> dict[str, Any]:
    jobs = [
        {"name": f"ingest_{p.name}", "cron": f"{5 * n} * * * *", "freshness_minutes": 90, "serves": p.text}
        for n, p in enumerate(subject.resources)
    ]
    return {"pipeline": subject.identifier, "jobs": jobs}


def _topology(subject: Subject) -> dict[str, Any]:
    components = [
        {"name": kebab(p.name), "network": "private", "connects_to": ["database"], "serves": p.text}
        for p in subject.resources
    ]
    edge = {"name": "edge", "network": "public", "connects_to": [c["name"] for c in components]}
    return {
        "system": subject.slug,
        "stack": list(subject.stack),
        "components": [edge, *components, {"name": "database", "network": "private"}],
    }


def _compose(subject: Subject) -> dict[str, Any]:
    app = {
        "image": f"{subject.slug}:0.1.0",
        "build": ".",
        "ports": ["8000:8000"],
        "environment": {"DATABASE_URL": "postgresql://app:${DB_PASSWORD:?set}@database:5432/app"},
        "depends_on": {"database": {"condition": "service_healthy"}},
    }
    database = {
        "image": "postgres:17",
        "environment": {
            "POSTGRES_USER": "app",
            "POSTGRES_PASSWORD": "${DB_PASSWORD:?set}",  # a name, to be filled in  # nosec B105
            "POSTGRES_DB": "app",
        },
        "volumes": ["data:/var/lib/postgresql/data"],
        "healthcheck": {"test": ["CMD-SHELL", "pg_isready -U app"], "interval": "5s", "retries": 10},
    }
    return {"name": subject.slug, "services": {subject.slug: app, "database": database}, "volumes": {"data": {}}}


def _deployment(subject: Subject) -> dict[str, Any]:
    labels = {"app": subject.slug}
    probe = {"httpGet": {"path": "/health", "port": 8000}}
    container = {
        "name": subject.slug,
        "image": f"{subject.slug}:0.1.0",
        "ports": [{"containerPort": 8000}],
        "readinessProbe": probe,
        "livenessProbe": probe,
        "resources": {"requests": {"cpu": "100m", "memory": "128Mi"}, "limits": {"memory": "512Mi"}},
    }
    pod = {"metadata": {"labels": labels}, "spec": {"containers": [container]}}
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": subject.slug, "annotations": {"description": clean(subject.about, 200)}},
        "spec": {"replicas": 2, "selector": {"matchLabels": labels}, "template": pod},
    }


def _ci(subject: Subject) -> dict[str, Any]:
    node = subject.uses("node", "react", "typescript", "vue", "next") and not subject.uses(
        "python", "fastapi", "django"
    )
    commands = ["npm ci", "npm test", "npm run build"] if node else ["pip install -e .", "python -m pytest"]
    setup = {"uses": "actions/setup-node@v4", "with": {"node-version": "22"}}
    if not node:
        setup = {"uses": "actions/setup-python@v5", "with": {"python-version": "3.12"}}
    steps = [{"uses": "actions/checkout@v4"}, setup, *({"run": command} for command in commands)]
    image = {"run": f"docker build -t {subject.slug}:${{{{ github.sha }}}} ."}
    return {
        "name": f"{subject.slug} ci",
        "on": {"push": {"branches": ["main"]}, "pull_request": {}},
        "jobs": {
            "test": {"runs-on": "ubuntu-latest", "steps": steps},
            "image": {"needs": "test", "runs-on": "ubuntu-latest", "steps": [steps[0], image]},
        },
    }


def _alerts(subject: Subject) -> dict[str, Any]:
    rules = [
        {
            "alert": f"{pascal(point.name)}Errors",
            "expr": f'sum(rate(http_requests_total{{handler="{point.name}",code=~"5.."}}[5m])) > 0.05',
            "for": "5m",
            "labels": {"severity": "page"},
            "annotations": {"summary": f"{subject.name}: errors in {point.text}"},
        }
        for point in subject.resources
    ]
    return {"groups": [{"name": subject.slug, "rules": rules}]}


def _navigation(subject: Subject) -> dict[str, Any]:
    pages = [{"title": clean(p.text, 60), "path": f"/{kebab(p.name)}"} for p in subject.points]
    return {"site": subject.name, "pages": [{"title": "Start", "path": "/"}, *pages], "open": open_questions(subject)}


def _mapping(subject: Subject) -> dict[str, Any]:
    fields = [
        {"source": f"external.{p.name}", "target": f"{subject.identifier}.{p.name}", "rule": "copy", "serves": p.text}
        for p in subject.points
    ]
    return {"from": "external system", "to": subject.name, "fields": fields}


_TOKENS: Final[dict[str, dict[str, str]]] = {
    "color": {"text": "#1a1a1a", "surface": "#ffffff", "accent": "#0b5fff", "danger": "#b3261e", "border": "#d0d5dd"},
    "space": {"s": "4px", "m": "8px", "l": "16px", "xl": "32px"},
    "radius": {"m": "8px"},
    "type": {"body": "16px", "heading": "24px"},
    "motion": {"fast": "120ms"},
}

_CRITERIA: Final = ("1.4.3 Contrast", "2.1.1 Keyboard", "1.1.1 Non-text content", "3.3.2 Labels", "2.4.7 Focus visible")

_JSON_FILES: Final[dict[str, _Build]] = {
    "acceptance_criteria": _each(
        "criteria",
        lambda n, p: {
            "requirement": p.id,
            "text": p.text,
            "given": "a valid user",
            "when": p.text,
            "then": "it holds and is recorded",
        },
    ),
    "competitors": _competitors,
    "milestones": _each(
        "milestones", lambda n, p: {"id": f"M{n + 1}", "scope": p.text, "weeks": 2, "exit": f"{p.id} is accepted"}
    ),
    "tokens": _tokens,
    "accessibility_issues": _each(
        "to_check",
        lambda n, p: {
            "criterion": _CRITERIA[n % len(_CRITERIA)],
            "where": p.text,
            "severity": "unknown",
            "repair": "check first",
        },
    ),
    "test_cases": _each(
        "cases",
        lambda n, p: {
            "id": f"T{n + 1}",
            "covers": p.id,
            "steps": ["sign in", p.text, "read the result"],
            "expected": "it holds",
        },
    ),
    "thresholds": _thresholds,
    "openapi": openapi,
}
_YAML_FILES: Final[dict[str, _Build]] = {
    "openapi": openapi,
    "mapping": _mapping,
    "policy": _policy,
    "schedule": _schedule,
    "topology": _topology,
    "compose": _compose,
    "deployment": _deployment,
    "ci": _ci,
    "alerts": _alerts,
    "navigation": _navigation,
}
