"""How what the daemon answers is described where it is answered, for ``/openapi.json``. Any thread, no state.

The document is put together from the routes that the application has, so that it can neither forget one nor make one
up: every view says what it answers, in the form of an Operation Object of OpenAPI 3.1, and a test fails where one does
not. A view of its own says so by ``described``, next to its rule; a dialect by ``Dialect.operation``::

    STATISTICS = {
        "tags": ["v2"],
        "summary": "How often a model ran, and how long it took",
        "parameters": [query("verbose", {"type": "boolean"}, "whether to tell everything")],
        "responses": answers({"type": "object", "properties": …}, {"model_stats": []}),
    }

    @routes.get("/v2/models/<model>/stats")
    @described(STATISTICS)
    def statistics(model: str) -> Response: ...

Whatever all routes have alike is added (``daemon.web.openapi``) and not written here: the places in the path, who may
call it, and the refusals that its class may meet: 400, 401, 403, 404, 409, 413, 415, 422, 500, 503 and 504. A view that
answers several methods alike has one operation for all. Examples must work: a test sends each of them to a daemon whose
model takes ten numbers named ``input``, and looks whether the answer is what its schema says.

Clients are made from the document, by programs that know less of JSON Schema than they should. So no schema contains
itself, every array has ``items``, no boolean is a ``const``; and a schema that a user of such a client has to make or
to read has a ``title`` (``called``): it becomes a component of that name, which is what the client calls it.
"""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

Operation = Mapping[str, object]
"""An Operation Object (OpenAPI 3.1.1, 4.8.10), without what ``daemon.web.openapi`` adds."""
Schema = Mapping[str, object]
"""A JSON Schema of the dialect 2020-12."""

JSON = "application/json"
V = TypeVar("V", bound=Callable[..., Any])


def described(operation: Operation) -> Callable[[V], V]:
    """Marks a view with what it answers; the view itself stays as it is."""

    def mark(view: V) -> V:
        view.operation = operation  # type: ignore[attr-defined]
        return view

    return mark


def operation_of(view: object) -> Operation | None:
    """What a view says that it answers, if it says so."""
    operation: Operation | None = getattr(view, "operation", None)
    return operation


def schema(name: str) -> Schema:
    """A reference to a schema that several operations share (``daemon.web.openapi.schemas``)."""
    return {"$ref": f"#/components/schemas/{name}"}


def called(title: str, form: Schema) -> Schema:
    """``form`` under a name that is its own in the whole document."""
    return {"title": title, **form}


def media(form: Schema, example: object = None, *, examples: Mapping[str, object] | None = None) -> dict[str, object]:
    """A Media Type Object: a form, and one example or several by name."""
    if examples is not None:
        return {"schema": form, "examples": {name: {"value": value} for name, value in examples.items()}}
    return {"schema": form} if example is None else {"schema": form, "example": example}


def json_body(form: Schema, examples: Mapping[str, object], *, required: bool = True) -> dict[str, object]:
    """A Request Body Object of JSON, with examples by name."""
    return {"required": required, "content": {JSON: media(form, examples=examples)}}


def answers(
    form: Schema,
    example: object,
    *,
    description: str = "What was asked for",
    release: bool = False,
    media_type: str = JSON,
) -> dict[str, object]:
    """A Responses Object with the 200; ``release``: its headers say which release answered."""
    told: dict[str, object] = {"description": description, "content": {media_type: media(form, example)}}
    return {"200": {**told, "headers": RELEASE_HEADERS} if release else told}


def query(name: str, form: Schema, description: str) -> dict[str, object]:
    """A Parameter Object of the query, which may be left out.

    It has no example: ``/docs`` fills in what is one, and sends it. What it looks like is for ``description`` to say.
    """
    return {"name": name, "in": "query", "description": description, "schema": form}


def header(name: str, form: Schema, description: str) -> dict[str, object]:
    """A Parameter Object of the request's headers, which may be left out. It has no example, as one of ``query``."""
    return {"name": name, "in": "header", "description": description, "schema": form}


_OF_RELEASES = ("X-Model-Name", "X-Model-Version", "X-Model-SHA256")
RELEASE_HEADERS: Mapping[str, object] = {name: {"$ref": f"#/components/headers/{name}"} for name in _OF_RELEASES}
RELEASE_HEADERS_IF_ANY: Mapping[str, object] = {
    name: {"$ref": f"#/components/headers/{name}-if-any"} for name in _OF_RELEASES
}
"""Of answers that may or may not be a release's."""
