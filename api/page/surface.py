"""Definition of the page among the surfaces: its paths, its routes and the shape of its errors."""

from typing import Final

from api.dialects.surface import Surface
from api.page import (
    access,
    actions,
    attention,
    bulk,
    catalogue,
    comparison,
    files,
    job,
    jobs,
    live,
    new_schedule,
    questions,
    refresh,
    schedules,
    sign_in,
    start,
    webhooks,
    workers,
)
from api.page.errors import render
from api.page.rendering import ROOT

PAGE: Final = Surface(
    name="page",
    title="Operators' page",
    version="1.0",
    description="Jobs and what needs attention, as HTML.",
    prefixes=(ROOT,),
    routers=tuple(
        module.router
        for module in (
            attention,
            files,
            sign_in,
            jobs,
            bulk,
            live,
            refresh,
            actions,
            questions,
            job,
            comparison,
            start,
            catalogue,
            new_schedule,
            schedules,
            webhooks,
            access,
            workers,
        )
    ),
    render=render,
)
