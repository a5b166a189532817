"""Endpoints that are included automatically: each file in this folder with a `router` adds its routes (M-008)."""

import importlib
import pkgutil

from fastapi import APIRouter


def routers() -> list[APIRouter]:
    """Return the `router` of every module of this folder. Raises `AttributeError` for a module without one."""
    modules = (importlib.import_module(f"{__name__}.{module.name}") for module in pkgutil.iter_modules(__path__))
    return [module.router for module in modules]
