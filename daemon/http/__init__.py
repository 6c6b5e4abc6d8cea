"""The HTTP layer under ``daemon/server.py``: waitress' channels, parser and tasks with what a daemon needs beside."""
