"""The orchestration routes, under the path at which their document looks for them (S-032).

They are defined in `api.dialects.devskyy`, one folder for one surface, and served from there; this is the same router.
"""

from api.dialects.devskyy.routes import router

__all__ = ["router"]
