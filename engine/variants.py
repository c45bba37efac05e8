"""Registries of variants: one module per variant in a folder, found when the folder is imported.

A variant is an answer format, a strategy, a dialect, a method, and so on. Its module defines one object that carries
everything the rest of the program asks about it. Nothing else compares its name, and no list names its module: adding
a variant means adding a file.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable, Collection
from typing import Any, TypeVar

V = TypeVar("V")


class VariantError(Exception):
    """A folder of variants is inconsistent. This is a bug in the program, never a user's mistake."""


def discover(
    package: str,
    kind: type[V],
    *,
    helpers: Collection[str] = (),
    order: Callable[[V], Any] | None = None,
) -> dict[str, V]:
    """The variants of a package by name.

    Each module of the package defines exactly one object of `kind`, with an attribute `name`. A module that needs
    another variant imports its module, not its object (`from folder import other`).

    Args:
        package: name of the package, usually `__name__` in its `__init__.py`.
        kind: the class of the variants' objects.
        helpers: modules of the package that define no variant. Modules whose name starts with `_` are left out too.
        order: sort key of the registry; by default variants are sorted by name.

    Raises:
        VariantError: a module defines no object or several, two share a name, or a helper does not exist.
    """
    names = {found.name for found in pkgutil.iter_modules(importlib.import_module(package).__path__)}
    if missing := sorted(set(helpers) - names):
        raise VariantError(f"{package}: no such helper module: {', '.join(missing)}")
    sources: dict[str, str] = {}
    variants: list[V] = []
    for name in sorted(names - set(helpers)):
        if name.startswith("_"):
            continue
        variant = _only(importlib.import_module(f"{package}.{name}"), kind)
        called = _name(variant)
        if called in sources:
            raise VariantError(f"{package}: {sources[called]} and {name} both define {called!r}")
        sources[called] = name
        variants.append(variant)
    variants.sort(key=_name)
    if order is not None:
        variants.sort(key=order)
    return {_name(variant): variant for variant in variants}


def _only(module: Any, kind: type[V]) -> V:
    """The one object of `kind` in a module."""
    found = {id(value): value for value in vars(module).values() if isinstance(value, kind)}
    if len(found) != 1:
        count = "no object" if not found else f"{len(found)} objects"
        raise VariantError(
            f"{module.__name__} defines {count} of {kind.__name__}; a variant's module defines exactly one"
        )
    return next(iter(found.values()))


def _name(variant: Any) -> str:
    name = variant.name
    if not isinstance(name, str) or not name:
        raise VariantError(f"{variant!r}: a variant's name is a non-empty text, not {name!r}")
    return name
