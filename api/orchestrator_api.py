"""The ASGI application of the product: `uvicorn api.orchestrator_api:app` (M-006)."""

from api.app import create_app
from orchestrator.bootstrap import Stack

app = create_app(Stack.from_environment())
