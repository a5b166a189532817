"""The generated OpenAPI documents of all surfaces, by operation."""

from typing import Any

from api.openapi import document_of
from api.surfaces import SURFACES


def operations() -> dict[tuple[str, str], dict[str, Any]]:
    """Method and path of each operation of each surface, with the document that has it."""
    return {
        (method.upper(), path): document
        for document in map(document_of, SURFACES)
        for path, methods in document["paths"].items()
        for method in methods
    }
