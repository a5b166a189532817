"""Postman collections, generated from the OpenAPI documents (S-035)."""

import json
from typing import Any, Final

Document = dict[str, Any]

_FORMAT: Final = "https://schema.getpostman.com/json/collection/v2.1.0/collection.json"
_JSON: Final = "application/json"
_BASE_URL: Final = "{{baseUrl}}"
_METHODS: Final = ("get", "post", "put", "patch", "delete")
_DEEPEST: Final = 8
_SECRETS: Final = ("password",)
# Values for a first try, by type of a field without an example.
_SAMPLES: Final[dict[str, Any]] = {"string": "text", "integer": 1, "number": 1.0, "boolean": True}


def collection_of(document: Document, base_url: str) -> Document:
    """Return a collection with one request for each operation, in one folder for each tag.

    `{{apiKey}}` is the key of all requests. Optional parameters are there, and switched off.
    """
    folders: dict[str, list[Document]] = {tag["name"]: [] for tag in document.get("tags", [])}
    for path, operations in document["paths"].items():
        for method in _METHODS:
            if method in operations:
                tag = operations[method].get("tags", ["other"])[0]
                folders.setdefault(tag, []).append(_item(document, path, method, operations[method]))
    texts = {tag["name"]: tag.get("description", "") for tag in document.get("tags", [])}
    info, variables = document["info"], {"baseUrl": base_url, "apiKey": "", **dict.fromkeys(_SECRETS, "")}
    return {
        "info": {"name": info["title"], "description": info.get("description", ""), "schema": _FORMAT},
        "auth": {"type": "bearer", "bearer": [{"key": "token", "value": "{{apiKey}}", "type": "string"}]},
        "variable": [{"key": key, "value": value} for key, value in variables.items()],
        "item": [
            {"name": name, "description": texts.get(name, ""), "item": items}
            for name, items in folders.items()
            if items
        ],
    }


def _item(document: Document, path: str, method: str, operation: Document) -> Document:
    parameters = [_resolved(document, parameter) for parameter in operation.get("parameters", [])]
    headers = [_parameter(document, each) for each in parameters if each["in"] == "header"]
    request: Document = {
        "method": method.upper(),
        "header": headers,
        "url": _url(document, path, parameters),
        "description": operation.get("description", ""),
    }
    if not operation.get("security"):
        request["auth"] = {"type": "noauth"}
    content = _resolved(document, operation.get("requestBody", {})).get("content", {}).get(_JSON)
    if content is not None:
        body = content.get("example", _sample(document, content["schema"]))
        headers.insert(0, {"key": "Content-Type", "value": _JSON})
        text = json.dumps(body, indent=2, ensure_ascii=False)
        request["body"] = {"mode": "raw", "raw": text, "options": {"raw": {"language": "json"}}}
    return {"name": operation.get("summary", operation["operationId"]), "request": request, "response": []}


def _url(document: Document, path: str, parameters: list[Document]) -> Document:
    parts = [f":{part[1:-1]}" if part.startswith("{") else part for part in path.strip("/").split("/")]
    query = [_parameter(document, each) for each in parameters if each["in"] == "query"]
    sent = "&".join(f"{each['key']}={each['value']}" for each in query if not each.get("disabled"))
    return {
        "raw": f"{_BASE_URL}/{'/'.join(parts)}{'?' if sent else ''}{sent}",
        "host": [_BASE_URL],
        "path": parts,
        "query": query,
        "variable": [_parameter(document, each) for each in parameters if each["in"] == "path"],
    }


def _parameter(document: Document, parameter: Document) -> Document:
    name, schema = parameter["name"], parameter.get("schema", {})
    if parameter["in"] == "path":
        value = f"{{{{{name}}}}}"
    elif name.lower() == "idempotency-key":
        value = "{{$guid}}"  # Postman makes another one for each request.
    else:
        value = _text(_sample(document, schema))
    entry = {"key": name, "value": value, "description": parameter.get("description", "")}
    sent = parameter.get("required") or value == "{{$guid}}"
    return entry if sent else {**entry, "disabled": True}


def _text(value: Any) -> str:
    if isinstance(value, list):
        value = value[0] if value else ""
    return value if isinstance(value, str) else json.dumps(value)


def _sample(document: Document, schema: Document, depth: int = 0) -> Any:
    """Return a value of a schema: its example or default, else the required fields only."""
    schema = _resolved(document, schema)
    for key in ("example", "const", "default"):
        if schema.get(key) is not None:
            return schema[key]
    for key in ("examples", "enum"):
        if schema.get(key):
            return schema[key][0]
    for key in ("anyOf", "oneOf", "allOf"):
        if key in schema:
            return _sample(document, next(part for part in schema[key] if part.get("type") != "null"), depth + 1)
    match schema.get("type"):
        case "object" if depth < _DEEPEST:
            fields, required = schema.get("properties", {}), schema.get("required", [])
            return {name: _field(document, name, fields[name], depth + 1) for name in required}
        case "object":
            return {}
        case "array":
            return [_sample(document, schema.get("items", {}), depth + 1)] if depth < _DEEPEST else []
        case kind:
            return _SAMPLES.get(str(kind), "text")


def _field(document: Document, name: str, schema: Document, depth: int) -> Any:
    # A person fills in the variable: nobody gets an account with a password that is printed here.
    return f"{{{{{name}}}}}" if name in _SECRETS else _sample(document, schema, depth)


def _resolved(document: Document, schema: Document) -> Document:
    while "$ref" in schema:
        target: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        schema = target
    return schema
