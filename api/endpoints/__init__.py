"""Routers that are included by being here: one file with a `router` adds an endpoint (M-008)."""

import importlib
import pkgutil

from fastapi import APIRouter


def routers() -> list[APIRouter]:
    """The `router` of every module of this folder, by module name. Raises `AttributeError` for one that has none."""
    modules = (importlib.import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    return [module.router for module in modules]
