"""What TensorFlow Serving's paths take and answer, in OpenAPI's words. Pure values."""

from daemon.web.describing import Operation, Schema, answers, called, json_body, schema

_TEXT: Schema = {"type": "string"}
_ROW = [1, 1, 1, 1, 1, 1, 1, 1, 1, 1]
_GIVEN = [-0.2857082, 0.1481001, 0.0694598, 0.0227364, -0.0683998]
_CODED: Schema = {
    "title": "Base64",
    "type": "object",
    "required": ["b64"],
    "properties": {"b64": {"type": "string", "contentEncoding": "base64"}},
    "description": "a string in base64",
}
_BY_NAME: Schema = {
    "title": "ValuesOrBase64ByName",
    "type": "object",
    "additionalProperties": {"anyOf": [schema("Value"), _CODED]},
}
_SIGNATURE: Schema = {"type": "string", "description": "any: a model has one signature here"}


def _object(properties: dict[str, Schema], *optional: str) -> Schema:
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


_ROWS: Schema = {
    "type": "array",
    "minItems": 1,
    "items": {"anyOf": [schema("Value"), _CODED, _BY_NAME]},
    "description": "row form: for each row the value of the only input, or an object of inputs by name",
}
_COLUMNS: Schema = {
    "anyOf": [schema("Value"), _CODED, _BY_NAME],
    "description": "column form: the only input as a whole, or an object of inputs by name",
}

PREDICT: Operation = {
    "tags": ["tensorflow"],
    "summary": "Predict, as TensorFlow Serving and KServe's version 1 do",
    "description": "Row form (`instances`) is answered by row as `predictions`, column form (`inputs`) by `outputs`; "
    "either holds objects by name where the model has several outputs. An output of strings whose name ends in "
    '`_bytes` is told as `{"b64": …}`.',
    "requestBody": json_body(
        {
            "oneOf": [
                called("RowsRequest", _object({"instances": _ROWS, "signature_name": _SIGNATURE}, "signature_name")),
                called("ColumnsRequest", _object({"inputs": _COLUMNS, "signature_name": _SIGNATURE}, "signature_name")),
            ]
        },
        {
            "rows": {"instances": [_ROW, _ROW]},
            "rows by name": {"signature_name": "serving_default", "instances": [{"input": _ROW}]},
            "columns": {"inputs": {"input": [_ROW]}},
        },
    ),
    "responses": answers(
        {
            "anyOf": [
                called("RowsAnswer", _object({"predictions": schema("Output")})),
                called("ColumnsAnswer", _object({"outputs": schema("Output")})),
            ]
        },
        {"predictions": [_GIVEN, _GIVEN]},
        release=True,
    ),
}

_VERSION_STATUS = called(
    "VersionStatus",
    _object(
        {
            "version": {"type": "string", "pattern": "^[0-9]+$"},
            "state": {"enum": ["AVAILABLE", "END"]},
            "status": _object({"error_code": {"const": "OK"}, "error_message": _TEXT}),
        }
    ),
)
_EXAMPLE_STATUS = {"version": "1", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
_STATUSES: Schema = {"type": "array", "items": _VERSION_STATUS}

STATUS: Operation = {
    "tags": ["tensorflow"],
    "summary": "Which versions of a model can be asked",
    "description": "`name` and `ready` are KServe's.",
    "responses": answers(
        called(
            "ModelStatus", _object({"model_version_status": _STATUSES, "name": _TEXT, "ready": {"type": "boolean"}})
        ),
        {"model_version_status": [_EXAMPLE_STATUS], "name": "default", "ready": True},
    ),
}
VERSION_STATUS: Operation = {
    "tags": ["tensorflow"],
    "summary": "Whether a version of a model can be asked",
    "responses": answers(
        called("VersionStatuses", _object({"model_version_status": _STATUSES})),
        {"model_version_status": [_EXAMPLE_STATUS]},
    ),
}
NAMES: Operation = {
    "tags": ["tensorflow"],
    "summary": "The models that serve",
    "responses": answers(_object({"models": {"type": "array", "items": _TEXT}}), {"models": ["default"]}),
}

_DIM = called("TensorDim", _object({"size": {"type": "string", "pattern": "^-1$|^[0-9]+$"}, "name": _TEXT}))
_SHAPE = called("TensorShape", _object({"dim": {"type": "array", "items": _DIM}, "unknown_rank": {"type": "boolean"}}))
_TENSOR = called(
    "TensorInfo", _object({"dtype": {"type": "string", "pattern": "^DT_"}, "tensor_shape": _SHAPE, "name": _TEXT})
)
_TENSORS: Schema = {"title": "TensorInfos", "type": "object", "additionalProperties": _TENSOR}
_SIGNATURE_DEF = called("SignatureDef", _object({"inputs": _TENSORS, "outputs": _TENSORS, "method_name": _TEXT}))
_SIGNATURE_DEFS = called("SignatureDefs", _object({"signature_def": _object({"serving_default": _SIGNATURE_DEF})}))
_EXAMPLE_TENSOR = {
    "dtype": "DT_FLOAT",
    "tensor_shape": {"dim": [{"size": "-1", "name": "batch"}, {"size": "10", "name": ""}], "unknown_rank": False},
}

METADATA: Operation = {
    "tags": ["tensorflow"],
    "summary": "A model's inputs and outputs, as a signature of TensorFlow's",
    "responses": answers(
        called(
            "SignatureMetadata",
            _object(
                {
                    "model_spec": _object({"name": _TEXT, "signature_name": _TEXT, "version": _TEXT}),
                    "metadata": _object({"signature_def": _SIGNATURE_DEFS}),
                }
            ),
        ),
        {
            "model_spec": {"name": "default", "signature_name": "", "version": "1"},
            "metadata": {
                "signature_def": {
                    "signature_def": {
                        "serving_default": {
                            "inputs": {"input": {**_EXAMPLE_TENSOR, "name": "input"}},
                            "outputs": {"output": {**_EXAMPLE_TENSOR, "name": "output"}},
                            "method_name": "tensorflow/serving/predict",
                        }
                    }
                }
            },
        },
    ),
}

OTHER_METHODS: Operation = {
    "tags": ["tensorflow"],
    "summary": "Answers 404: models have one signature here, which is for predict",
    "parameters": [
        {
            "name": "verb",
            "in": "path",
            "required": True,
            "description": "what TensorFlow Serving has beside predict",
            "schema": {"enum": ["classify", "regress"]},
            "example": "classify",
        }
    ],
    "responses": {},
}
