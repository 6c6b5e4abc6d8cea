"""What the watcher leans on: the alarm that events ring, and what is remembered of each path."""
