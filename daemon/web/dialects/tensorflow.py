"""TensorFlow Serving's language, which KServe's version 1 shares: ``POST /v1/models/NAME:predict``.

Entered by request threads.
"""

from collections.abc import Mapping

from daemon.release import Release
from daemon.runtime import Array
from daemon.web.asking import Asked, Dialect, Read, Tell
from daemon.web.content_types import refuse_other_forms
from daemon.web.tensorflow.operations import PREDICT
from daemon.web.tensorflow.predictions import column_teller, row_teller
from daemon.web.tensorflow.requests import COLUMNS, request_reader, rows_of


def _reader_of(release: Release) -> Read:
    read_request = request_reader(release.signature)
    tell_rows, tell_columns = row_teller(release), column_teller(release)

    def read(asked: Asked, body: bytes) -> tuple[Mapping[str, Array], Tell]:
        refuse_other_forms(asked.media_type)
        form, inputs = read_request(body)
        return inputs, tell_columns if form == COLUMNS else tell_rows(rows_of(inputs))

    return read


TENSORFLOW = Dialect(
    "tensorflow",
    (
        "/v1/models/<model>:predict",
        "/v1/models/<model>/versions/<int:version>:predict",
        "/v1/models/<model>/labels/<label>:predict",
    ),
    _reader_of,
    PREDICT,
)
