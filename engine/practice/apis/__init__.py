"""The APIs that the built-in teacher serves, one module each: a request's JSON is read, a response or its stream is written."""

from __future__ import annotations

from engine.practice.apis.base import Api
from engine.variants import discover

__all__ = ["APIS", "Api"]

APIS: dict[str, Api] = discover(__name__, Api, helpers=("base", "openai"))
"""Each API by the path under its base URL, without the slash in front."""
