"""Whether a request is taken, by its head alone. For granian's thread."""

import logging
from dataclasses import replace

from daemon.http.terms import Terms
from daemon.http.values import INTERNAL_ERROR, Admission, too_large
from daemon.native.heads import Head

LOG = logging.getLogger("modeldrop.http")


def judge(head: Head, peer: str, terms: Terms) -> Admission:
    """How long the body of ``head`` may be where ``peer`` sends it, and why the request is refused, if it is."""
    try:
        admission = terms.guard(head.command, head.path, head.query, head.headers, peer)
    except Exception:
        LOG.exception("the guard failed at %s %s", head.command, ascii(head.path))
        admission = Admission(0, INTERNAL_ERROR)
    refusal = head.fault or admission.refusal
    if refusal is None and head.content_length > admission.max_body_bytes:
        refusal = too_large(admission, announced=head.content_length)
    return admission if refusal is admission.refusal else replace(admission, refusal=refusal)
