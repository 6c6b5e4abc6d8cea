"""What start-up owes each model, asked of a journal: of the open one, or of its file before anybody has opened it."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from daemon.history.records import Standing, from_json


def standing(rows: Callable[[str], list[Any]]) -> dict[str, Standing]:
    """By model its newest release, and whether it was unloaded since; ``rows`` gives the rows of a query."""
    # with max(…), SQLite takes the other columns from the row that has it (sqlite.org/lang_select.html#bareagg)
    newest = rows("SELECT model, max(version), record FROM releases GROUP BY model")
    last = "SELECT model, max(id), stands, version FROM events WHERE stands IS NOT NULL GROUP BY model"
    unloaded = {model: version for model, _, stands, version in rows(last) if stands == "unloaded"}
    # a release committed after the unloading counts though its `live` event was lost in a power cut
    return {
        model: Standing(model, from_json(record), model in unloaded and version <= (unloaded[model] or version))
        for model, version, record in newest
    }


def glance(path: Path) -> dict[str, Standing]:
    """What stands by the journal at ``path``, which is only read; nothing where it cannot be.

    For what may as well not be done: whoever opens the journal finds out what is wrong with it.
    """
    try:
        with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, timeout=0.0)) as reader:
            return standing(lambda query: reader.execute(query).fetchall())
    except (sqlite3.Error, ValueError, LookupError, TypeError):
        return {}
