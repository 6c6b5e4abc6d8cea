"""modeldrop: a daemon that turns a folder into a model server."""

__version__ = "0.1.0"
