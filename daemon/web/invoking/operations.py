"""What the pages for MLflow's and SageMaker's clients answer, in OpenAPI's words. Pure values."""

from daemon.web.array_forms import FILE_SCHEMAS
from daemon.web.describing import JSON, RELEASE_HEADERS, answers, media, schema

_ROW = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
_LINE = ",".join(map(str, _ROW))
_CELL = {"type": ["number", "string", "boolean", "null", "array"], "items": {}}
_SPLIT = {
    "title": "SplitTable",
    "type": "object",
    "required": ["data"],
    "additionalProperties": False,
    "properties": {
        "columns": {"type": ["array", "null"], "items": {"type": ["string", "integer"]}},
        "index": {"type": ["array", "null"], "items": {}},
        "data": {"type": "array", "items": {"type": "array", "items": _CELL}},
    },
}
_RECORD = {"title": "Record", "type": "object", "additionalProperties": _CELL}
_VALUES = {
    "anyOf": [
        schema("Value"),
        {"title": "ValuesByName", "type": "object", "additionalProperties": schema("Value")},
    ]
}
_FORMS = {
    ("inputs", "InputsToScore"): _VALUES,
    ("instances", "InstancesToScore"): {"type": "array", "items": _VALUES},
    ("dataframe_split", "SplitTableToScore"): _SPLIT,
    ("dataframe_records", "RecordsToScore"): {"type": "array", "items": _RECORD, "minItems": 1},
}
_BODY = {
    "description": "an object with exactly one of `inputs`, `instances`, `dataframe_split` and `dataframe_records`; "
    "or a bare list, which is answered bare",
    "anyOf": [
        *(
            {
                "title": title,
                "type": "object",
                "required": [name],
                "properties": {name: form, "params": {"type": ["object", "null"]}},
            }
            for (name, title), form in _FORMS.items()
        ),
        {"type": "array", "items": schema("Value")},
    ],
}
_ANSWER = {
    "description": "an object with `predictions`; the outputs alone where a bare list, arrays or raw bytes were sent",
    "type": ["object", "array", "number", "string", "boolean", "null"],
    "items": {},
    "properties": {"predictions": schema("Output")},
}
_GIVEN = [-0.2857082, 0.1481001, 0.0694598, 0.0227364, -0.0683998]

INVOCATIONS = {
    "tags": ["invocations"],
    "summary": "Predict as MLflow's scoring server and SageMaker's containers do",
    "description": "The content type says what came; `Accept` says what is to go back, `text/csv` and "
    "`application/x-npy` beside JSON. CSV has its columns in the order of the model's inputs, or a first row with "
    "their names; `header=present` or `header=absent` in the content type says which, where it cannot be seen. Raw "
    "bytes are the only input, the least significant byte first, and may leave one of its dimensions open.",
    "requestBody": {
        "required": True,
        "content": {
            JSON: media(
                _BODY,
                examples={
                    "tensors": {"inputs": [_ROW]},
                    "rows": {"instances": [_ROW, _ROW]},
                    "a table": {"dataframe_split": {"columns": [f"x{index}" for index in range(10)], "data": [_ROW]}},
                    "records": {"dataframe_records": [{f"x{index}": 1 for index in range(10)}]},
                    "a bare list": [_ROW],
                },
            ),
            "text/csv": media({"type": "string"}, f"{_LINE}\n{_LINE}\n"),
            **{kind: media(form) for kind, form in FILE_SCHEMAS.items()},
            "application/octet-stream": {},  # bytes, of which a schema says nothing
        },
    },
    "responses": {
        "200": {
            "description": "What the model gave",
            "headers": RELEASE_HEADERS,
            "content": {
                JSON: media(_ANSWER, {"predictions": [_GIVEN]}),
                "text/csv": media({"type": "string"}, ",".join(map(str, _GIVEN)) + "\n"),
                **{kind: media(form) for kind, form in FILE_SCHEMAS.items()},
            },
        },
        "406": {"$ref": "#/components/responses/406"},
    },
}

PING = {
    "tags": ["invocations"],
    "summary": "Whether the default model serves",
    "responses": {
        **answers(
            {"type": "object", "required": ["status"], "properties": {"status": {"const": "ok"}}},
            {"status": "ok"},
            description="It does",
        ),
        "503": {"$ref": "#/components/responses/503"},
    },
}

VERSION = {
    "tags": ["invocations"],
    "summary": "The daemon's version",
    "responses": answers({"type": "string"}, "0.1.0", description="As text", media_type="text/plain"),
}
