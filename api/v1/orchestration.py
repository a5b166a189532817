"""The orchestration router, at the module path that its document names (S-032).

It is defined in `api.dialects.devskyy`.
"""

from api.dialects.devskyy.routes import router

__all__ = ["router"]
