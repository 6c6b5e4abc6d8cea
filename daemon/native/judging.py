"""Whether a request is taken, by its head alone. For granian's thread."""

import logging

from daemon.http.terms import Terms
from daemon.http.values import (
    INTERNAL_ERROR,
    NOT_IMPLEMENTED,
    Admission,
    HttpError,
    bad_request,
    headers_too_large,
    too_large,
)
from daemon.native.heads import Head

LOG = logging.getLogger("modeldrop.http")


def judge(head: Head, terms: Terms) -> Admission:
    """How long the body of ``head`` may be, and why the request is refused, if it is."""
    admission = _admission(head, terms)
    return Admission(admission.max_body_bytes, _refusal(head, terms, admission), admission.setting)


def _admission(head: Head, terms: Terms) -> Admission:
    try:
        return terms.guard(head.command, head.path, head.query, head.headers, head.peer)
    except Exception:
        LOG.exception("the guard failed at %s %s", head.command, ascii(head.path))
        return Admission(0, INTERNAL_ERROR)


def _refusal(head: Head, terms: Terms, admission: Admission) -> HttpError | None:
    if not head.command.isupper():
        return bad_request(f"its method is {head.command!a}, expected one in capitals")
    bound = terms.limits.header_bytes
    if sum(map(len, head.headers.values())) > bound:  # granian's own is met by steps of its reads
        return headers_too_large(bound)
    if head.chunked and head.headers["TRANSFER_ENCODING"].strip().lower() != "chunked":
        return NOT_IMPLEMENTED
    if admission.refusal is not None:
        return admission.refusal
    if head.content_length > admission.max_body_bytes:
        return too_large(admission, announced=head.content_length)
    return None
