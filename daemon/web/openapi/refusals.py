"""What requests are refused with, as a class of routes has it in common. Pure values."""

from collections.abc import Iterator, Mapping

from daemon.web.access import Tokens, is_open_to_all
from daemon.web.describing import JSON, schema
from daemon.web.routes import RouteClass

ALWAYS = (400, 500, 503)
OF_CLASS: Mapping[RouteClass, tuple[int, ...]] = {
    RouteClass.OPEN: (),
    RouteClass.PREDICT: (404, 504),
    RouteClass.READ: (),
    RouteClass.ADMIN: (403,),
}
OF_BODIES = (413, 415)
OF_DEPLOYS = (404, 409, 422)
OF_PLACES = (404,)


def statuses(route: RouteClass, tokens: Tokens, *, body: bool, places: bool) -> list[int]:
    """With which statuses a request may be refused; ``body``: it may have one, ``places``: its path names something."""
    wanted = {*ALWAYS, *OF_CLASS[route], *(OF_BODIES if body else ()), *(OF_PLACES if places else ())}
    wanted |= set(OF_DEPLOYS) if body and route is RouteClass.ADMIN else set()
    return sorted(wanted | (set() if is_open(route, tokens) else {401}))


def is_open(route: RouteClass, tokens: Tokens) -> bool:
    """Whether no request of this class needs a token."""
    return not tokens.admin if route is RouteClass.ADMIN else is_open_to_all(route, tokens)


def reference(status: int) -> dict[str, str]:
    """What stands for the Response Object of a refusal."""
    return {"$ref": f"#/components/responses/{status}"}


def responses() -> dict[str, object]:
    """The Response Object of every refusal, by its status."""
    return {str(status): dict(_response(status)) for status in _REFUSALS}


def _response(status: int) -> Iterator[tuple[str, object]]:
    description, form, examples = _REFUSALS[status]
    yield "description", description
    if status in _HEADERS:
        yield "headers", {_HEADERS[status]: {"$ref": f"#/components/headers/{_HEADERS[status]}"}}
    named = {code: {"value": {"error": sentence, "code": code, **more}} for code, sentence, more in examples}
    yield "content", {JSON: {"schema": schema(form), "examples": named}}


_HEADERS = {401: "WWW-Authenticate", 503: "Retry-After"}
_WHY_REJECTED = {"reason": "not an ONNX model: a model has no field 13; it seems to be text", "check": "structure"}
_WHY_BREAKING = {
    "reason": "against version 1: input 'input' has the shape [batch, 11], had [batch, 10]; give it a folder of its "
    "own if it is another model, or deploy it with force (gate.signature is compatible)",
    "check": "signature",
}
_FAILED = (
    "Reshape node: size != 0 && (input_shape_size % size) == 0 was false. The input tensor cannot be reshaped to the "
    "requested shape. Input shape:{1,10}, requested shape:{-1,1009}"
)
_TOO_LARGE = (
    "the body is too large: at most 67108864 bytes are taken here (server.max_body_mb), 70000000 were announced"
)

_REFUSALS: Mapping[int, tuple[str, str, tuple[tuple[str, str, Mapping[str, str]], ...]]] = {
    400: (
        "The request is malformed",
        "Error",
        (
            ("invalid_json", "the body is a JSON array; expected an object", {}),
            ("invalid_input", "input 'input': expected float32 [batch, 10], got shape [1, 3]", {}),
            ("bad_request", "limit: expected a whole number from 0 on, found 'many'", {}),
        ),
    ),
    401: (
        "A token is missing or wrong",
        "Error",
        (("unauthorized", "expected an Authorization header with a bearer token, found none", {}),),
    ),
    403: (
        "A file outside the allowed folders, or a caller who may not change what serves",
        "Error",
        (
            (
                "forbidden",
                "no admin token is configured: expected a peer on this machine, the request came from another",
                {},
            ),
        ),
    ),
    404: (
        "There is no such model, version or file",
        "Error",
        (
            ("unknown_model", "there is no model 'digits'", {}),
            ("not_found", "model 'default' has no version 99; the newest is 1", {}),
        ),
    ),
    406: (
        "The answer cannot be given in the form that `Accept` asks for",
        "Error",
        (
            (
                "not_acceptable",
                "an output is no tensor, which NumPy's files cannot carry: ask for application/json",
                {},
            ),
        ),
    ),
    409: (
        "The change of signature would break the clients of what serves",
        "Rejection",
        (("breaking_signature", f"the candidate was rejected: {_WHY_BREAKING['reason']}", _WHY_BREAKING),),
    ),
    413: (
        "The body is over its limit",
        "Error",
        (("too_large", _TOO_LARGE, {}),),
    ),
    415: (
        "The body has a content type or encoding that this route does not take",
        "Error",
        (
            (
                "unsupported_media_type",
                "found content type image/png, expected application/json, application/x-npy or application/x-npz",
                {},
            ),
        ),
    ),
    422: (
        "The candidate was rejected",
        "Rejection",
        (("rejected", f"the candidate was rejected: {_WHY_REJECTED['reason']}", _WHY_REJECTED),),
    ),
    500: (
        "The run failed, or the daemon did; the log has it",
        "Error",
        (
            ("inference_failed", _FAILED, {}),
            ("internal_error", "something went wrong inside; the log has it", {}),
        ),
    ),
    503: (
        "Nothing of the model serves, or too many ask at once",
        "Error",
        (
            ("no_model", "no release of model 'default' serves", {}),
            ("overloaded", "too many clients wait for events; ask without wait, or come again", {}),
        ),
    ),
    504: (
        "The run took too long and was stopped",
        "Error",
        (("timeout", "the run was stopped at its deadline of 30 seconds", {}),),
    ),
}
