"""What a start begins before it imports the rest: the settings, and the hashes of what served before. Main thread.

The imports take longer than most stores take to hash, and keep one core busy.
"""

from daemon.config import Settings
from daemon.history.standing import glance
from daemon.intake.ahead import Ahead


def look_ahead(settings: Settings, ahead: Ahead) -> None:
    """Has ``ahead`` hash what the daemon of these ``settings`` is going to restore, in the order in which it will."""
    state_dir = settings.place(settings.state_dir)
    standing = glance(state_dir / "journal.sqlite3")
    releases = [standing[model].release for model in sorted(standing) if not standing[model].unloaded]
    ahead.begin([state_dir / "store" / release.stored_as for release in releases])
