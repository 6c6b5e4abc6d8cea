"""Floor 3: the process in which a candidate is tried, seen from the daemon and from inside."""

from daemon.trial.parent import WarmParent
from daemon.trial.process import Ended, Interrupted, Lost, Overdue, TrialProcess
from daemon.trial.terms import TrialTerms

__all__ = ["Ended", "Interrupted", "Lost", "Overdue", "TrialProcess", "TrialTerms", "WarmParent"]
