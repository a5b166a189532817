"""Definition of the page among the surfaces: its paths, its routes and the shape of its errors."""

from typing import Final

from api.dialects.surface import Surface
from api.page import actions, attention, files, job, jobs, live, sign_in
from api.page.errors import render
from api.page.rendering import ROOT

PAGE: Final = Surface(
    name="page",
    title="Operators' page",
    version="1.0",
    description="Jobs and what needs attention, as HTML.",
    prefixes=(ROOT,),
    routers=(
        attention.router,
        files.router,
        sign_in.router,
        jobs.router,
        live.router,
        actions.router,
        job.router,
    ),
    render=render,
)
