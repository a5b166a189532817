"""The ASGI application of the product: `uvicorn api.orchestrator_api:app` (M-006)."""

from api.app import create_app
from api.hardening import ApiOptions
from orchestrator.composition.lazy_services import LazyServices
from orchestrator.settings import Settings

app = create_app(LazyServices.from_environment(), options=lambda: ApiOptions.of(Settings()))
