"""modeldrop: a daemon that turns a folder into a model server."""
