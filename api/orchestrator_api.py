"""The ASGI application of the product: `uvicorn api.orchestrator_api:app` (M-006)."""

from api.app import create_app
from api.hardening import ApiOptions
from orchestrator.bootstrap import Stack
from orchestrator.settings import Settings

app = create_app(Stack.from_environment(), options=lambda: ApiOptions.of(Settings()))
