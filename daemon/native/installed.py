"""Whether the second front can be had here. Entered by the main thread at the start; imports nothing of granian."""

from importlib import metadata

WANTED = "2.8."
"""Whose insides are known; the extra ``fast`` in pyproject.toml says the same."""


def why_not() -> str | None:
    """Why granian cannot serve here, to complete "found granian, …"; None where it can."""
    try:
        version = metadata.version("granian")
    except metadata.PackageNotFoundError:
        return "which is not installed"
    return None if version.startswith(WANTED) else f"of which version {version} is installed"
