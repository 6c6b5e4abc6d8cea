"""The faces of the daemon to the web: one room for each kind of request, all called by ``daemon/api.py``."""
