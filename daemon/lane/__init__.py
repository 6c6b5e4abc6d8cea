"""The deployer's lane: what waits in it, which comes next, and what becomes of it."""

from daemon.lane.lane import Lane
from daemon.lane.order import Entry, left_behind, next_up, overtaken
from daemon.lane.stages import Stages
from daemon.lane.wishes import FileSource, Outcome, RefusedSource, Rehearsal, Source, StoredSource, StreamSource, Wish

__all__ = [
    "Entry",
    "FileSource",
    "Lane",
    "Outcome",
    "RefusedSource",
    "Rehearsal",
    "Source",
    "Stages",
    "StoredSource",
    "StreamSource",
    "Wish",
    "left_behind",
    "next_up",
    "overtaken",
]
