"""Schemas that have a title, moved to where a document keeps what has a name. Pure, any thread.

What makes clients from a document calls a type by its name there, and makes one up for all others.
"""

from collections.abc import Mapping, MutableMapping
from typing import cast

from daemon.web.describing import Schema, schema

_VALUES = frozenset({"example", "examples", "default", "const", "enum"})
"""Keys of what is no part of a schema, whatever it looks like."""


def named(told: object, schemas: MutableMapping[str, Schema]) -> object:
    """``told`` with a reference for each schema with a title, which is in ``schemas`` then, by its title.

    Raises ValueError where one title has two schemas.
    """
    if isinstance(told, list | tuple):
        return [named(each, schemas) for each in told]
    if not isinstance(told, Mapping):
        return told
    whole = {key: value if key in _VALUES else named(value, schemas) for key, value in told.items()}
    title = whole.get("title")
    if not isinstance(title, str):  # a property may be called so
        return whole
    del whole["title"]
    if schemas.setdefault(title, whole) != whole:
        raise ValueError(f"two schemas have the title {title!r}")
    return cast(object, schema(title))
