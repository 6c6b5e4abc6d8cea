"""Files that came with a model which does not name them. It runs on the deployer's thread, and holds no state."""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

from daemon.errors import Rejected
from daemon.intake.naming import shown
from daemon.intake.outline import OutlineState, read_outline


def refuse_strangers(model_file: Path, locations: Iterable[str]) -> None:
    """Raises Rejected where one of ``locations``, of files beside ``model_file``, is none of its external data.

    They would count for the identity of a model that they are no part of. Of a file that is no whole model nothing is
    said: the gate has better words for it.
    """
    fd = os.open(model_file, os.O_RDONLY | os.O_CLOEXEC)
    try:
        outline = read_outline(fd, model_file.suffix)
    finally:
        os.close(fd)
    named = {str(PurePosixPath(reference.location)) for reference in outline.references}
    strangers = sorted(set(locations) - named)
    if outline.state is OutlineState.WHOLE and strangers:
        raise Rejected("structure", f"'{shown(strangers[0])}' came with it, which it does not name as external data")
