"""Refuses changes that pages of other sites make with a cookie of this one."""

from urllib.parse import urlsplit

from fastapi import Request

from orchestrator.domain.errors import Forbidden


def refuse_other_sites(request: Request) -> None:
    """Refuse changes from other sites: a browser sends a cookie with requests of any page. Raises `Forbidden`."""
    fetch_site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if fetch_site is not None:
        allowed = fetch_site == "same-origin"
    else:
        allowed = origin is not None and urlsplit(origin).netloc == request.headers.get("host")
    if not allowed:
        raise Forbidden("A session cookie may make changes from pages of this origin only. Programs use a bearer token")
