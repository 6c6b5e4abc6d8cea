"""What can go wrong, in the domain's words; ``daemon/api.py`` holds the one table that turns these into HTTP.

Messages are sentences for the person who asked: lower case, what was wrong, what was expected, what came.
No message carries a traceback or a path outside what the user named.
"""

from collections.abc import Mapping


class ModeldropError(Exception):
    """Every failure that the daemon has a word for."""


class ConfigError(ModeldropError):
    """A setting is wrong; the message names the file, the key, what was found and what is allowed."""


class StartupError(ModeldropError):
    """The daemon cannot start: the port is taken, a folder cannot be made, or the state is another's."""


class Rejected(ModeldropError):
    """A candidate may not serve: ``check`` names what refused it, ``reason`` why, ``detail`` what else is known."""

    def __init__(self, check: str, reason: str, detail: Mapping[str, object] | None = None) -> None:
        super().__init__(f"{check}: {reason}")
        self.check = check
        self.reason = reason
        self.detail = detail or {}


class BreakingSignature(Rejected):
    """A candidate's inputs and outputs would break the clients of what serves."""

    def __init__(self, reason: str, detail: Mapping[str, object] | None = None) -> None:
        super().__init__("signature", reason, detail)


class DeployFailed(Rejected):
    """A candidate could not be dealt with, through no fault of its own that is known."""

    def __init__(self) -> None:
        super().__init__("internal", "something went wrong inside while it was deployed; the log has it")


class SourceChanged(ModeldropError):
    """The file changed while it was copied: not a verdict on it, it is to be looked at again."""


class StoreDamaged(ModeldropError):
    """Stored bytes are missing or no longer have the hash they were stored under."""


class InvalidJson(ModeldropError):
    """A body is not the JSON that was expected."""


class InvalidInput(ModeldropError):
    """An input tensor does not fit the model; the message names the input, what was expected and what came."""


class BadRequest(ModeldropError):
    """A request is malformed in another way than its JSON or its tensors."""


class InferenceFailed(ModeldropError):
    """The run itself failed, and not for the input's sake."""


class RunTimeout(ModeldropError):
    """A run was stopped at its deadline."""


class Overloaded(ModeldropError):
    """There is no room for this request now; ``retry_after_seconds`` says when to come again."""

    def __init__(self, message: str, *, retry_after_seconds: int = 1) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class NotServing(ModeldropError):
    """No release of ``model`` serves."""

    def __init__(self, model: str) -> None:
        super().__init__(f"no release of model {model!r} serves")
        self.model = model


class UnknownModel(ModeldropError):
    """There never was a model of this name."""


class UnknownVersion(ModeldropError):
    """The model has no such release, or its bytes are no longer kept."""


class NoSuchFile(ModeldropError):
    """The named file does not exist in any folder that may be named."""


class PathForbidden(ModeldropError):
    """The named file lies outside the folders that may be named."""


class Unauthorized(ModeldropError):
    """A token is missing or wrong."""


class Forbidden(ModeldropError):
    """This peer or this page may not call this route."""


class UnsupportedMediaType(ModeldropError):
    """The body's declared type is not one that this route takes."""


class NotAcceptable(ModeldropError):
    """The answer cannot be given in the form that the client asks for."""


class TooLarge(ModeldropError):
    """A body is larger than its limit."""


class ShuttingDown(ModeldropError):
    """The daemon is stopping and takes no more deploys."""


AT_ONCE = "modeldrop.at_once"
"""A key of the WSGI environment: whether the loop's own thread waits for the answer, which then may take no time."""


TOGETHER = "modeldrop.together"
"""A key of the WSGI environment: what this request has in common with others that are answered together with it, if
there are any. Each of them is begun, by a call of the application, before the answer of one is gone through."""


ARRIVED = "modeldrop.arrived"
"""A key of the WSGI environment: when the request was there as a whole, as ``time.perf_counter()`` has it.

One that came behind another on its connection was when the other's answer was done.
"""


class HandOver(BaseException):
    """Raised by an application that found, before it began its answer, that it has to give it in another way.

    It was called ``AT_ONCE`` and the answer takes time, or ``TOGETHER`` with others it does not go with. A thread of a
    pool calls it again, alone and from the start; what it has read of the body is there again.
    """
