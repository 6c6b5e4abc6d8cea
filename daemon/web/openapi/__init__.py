"""The OpenAPI document of everything that the daemon answers, put together from its routes. Any thread."""

from daemon.web.openapi.document import document

__all__ = ["document"]
