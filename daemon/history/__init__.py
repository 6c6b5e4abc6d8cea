"""The history: the journal of events and releases, and what may be pruned."""

from daemon.history.entries import age_seconds, utc_now
from daemon.history.journal import Journal
from daemon.history.pruning import prunable
from daemon.history.records import Outcome, Sighting, Standing

__all__ = ["Journal", "Outcome", "Sighting", "Standing", "age_seconds", "prunable", "utc_now"]
