"""Sign-in with a user, an API key or a one-time link, and sign-out."""

import secrets
from typing import Annotated, Final

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from api.credentials import authenticate
from api.deps import Svc
from api.limits import address_of, counting_failures, name_of
from api.page.errors import PageRoute
from api.page.rendering import ROOT, page, see_other, url
from api.page.visitors import COOKIE, AnyVisitor, Form, Submitted, read_form
from api.prefix import located
from orchestrator.domain.errors import Forbidden, Unauthenticated
from orchestrator.domain.limits import SurfaceLimit
from orchestrator.services.access.page_sessions import SESSION_LIFETIME
from orchestrator.services.container import Services

router = APIRouter(prefix=ROOT, include_in_schema=False, route_class=PageRoute)

_FORM_COOKIE: Final = "orchestrator_form"
Next = Annotated[str, Query(max_length=2000)]


@router.get("/sign-in")
async def sign_in_page(request: Request, services: Svc, next: Next = "") -> Response:
    """The form to sign in."""
    return _form(request, services, next)


@router.post("/sign-in")
async def sign_in(request: Request, services: Svc, next: Next = "") -> Response:
    """Open a session with a user name and a password, or with an API key."""
    form = await read_form(request)
    secret = request.cookies.get(_FORM_COOKIE, "")
    if not secret or not services.page_sessions.is_csrf(form.text("csrf"), secret):
        raise Forbidden("This form has expired, or the browser refuses cookies: go back and try again")
    try:
        async with counting_failures(request, services, SurfaceLimit.AUTHENTICATION, f"{address_of(request)} page"):
            cookie = await _opened(request, services, form)
    except Unauthenticated as fault:
        return _form(request, services, next, status=401, fault=fault.message, username=form.text("username"))
    return await _begin(request, services, cookie, _local(next))


@router.get("/open/{secret}")
async def open_link(request: Request, services: Svc, secret: str) -> Response:
    """Open a session with the one-time link that `orchestrator dev` prints. A browser with a session keeps it.

    Another site cannot make a browser use up the attempts: its images and frames are refused, and links are counted
    apart from the form.
    """
    if request.headers.get("sec-fetch-dest", "document") != "document":
        raise Forbidden("Open the link in a browser's address bar")
    try:
        await services.page_sessions.read(request.cookies.get(COOKIE, ""))
    except Unauthenticated:
        request.state.signs_in = "page link"
        try:
            client = f"{address_of(request)} page link"
            async with counting_failures(request, services, SurfaceLimit.AUTHENTICATION, client):
                cookie = await services.page_sessions.of_link(secret)
        except Unauthenticated as fault:
            return _form(request, services, "", status=401, fault=fault.message)
        return await _begin(request, services, cookie, located("/"))
    return see_other(located("/"))


@router.post("/sign-out")
async def sign_out(request: Request, services: Svc, visitor: AnyVisitor, form: Submitted) -> Response:
    """End the session."""
    await services.page_sessions.end(visitor.session)
    response = see_other(url("/sign-in"))
    response.delete_cookie(COOKIE, path=located("/"), secure=_is_secure(request), httponly=True, samesite="lax")
    return response


async def _opened(request: Request, services: Services, form: Form) -> str:
    key, username = form.text("key"), form.text("username")
    if key:
        request.state.signs_in = "page key"
        await authenticate(request, services, key)
        return await services.page_sessions.of_key(key)
    request.state.signs_in = username
    password = next((value for name, value in form.pairs if name == "password"), "")
    async with counting_failures(request, services, SurfaceLimit.SIGN_IN, name_of(username)):
        tokens = await services.users.login(username, password)
    return await services.page_sessions.of_user(tokens)


async def _begin(request: Request, services: Services, cookie: str, address: str) -> Response:
    """Return the answer that gives the browser its session."""
    request.state.principal = (await services.page_sessions.read(cookie)).principal  # for the audit trail
    response = see_other(address)
    response.set_cookie(
        COOKIE,
        cookie,
        max_age=int(SESSION_LIFETIME.total_seconds()),
        path=located("/"),
        secure=_is_secure(request),
        httponly=True,
        samesite="lax",
    )
    response.delete_cookie(_FORM_COOKIE, path=located(ROOT), httponly=True, samesite="strict")
    return response


def _form(
    request: Request, services: Services, next: str, *, status: int = 200, fault: str = "", username: str = ""
) -> Response:
    secret = secrets.token_urlsafe(16)
    csrf = services.page_sessions.csrf(secret)
    response = page(request, None, "sign_in.html", status=status, csrf=csrf, next=next, fault=fault, username=username)
    response.set_cookie(
        _FORM_COOKIE,
        secret,
        max_age=3600,
        path=located(ROOT),
        secure=_is_secure(request),
        httponly=True,
        samesite="strict",
    )
    return response


def _is_secure(request: Request) -> bool:
    return request.url.scheme == "https"


def _local(target: str) -> str:
    """The page to return to: a path of the page on this site, else its beginning."""
    is_page = target == located("/") or target.startswith((located("/") + "?", located(ROOT) + "/"))
    plain = target.isprintable() and "\\" not in target and "//" not in target.partition("?")[0]
    return target if is_page and plain else located("/")
