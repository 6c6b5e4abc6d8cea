"""A place for the engine that a check has loaded, until its release is adopted; the deployer's lane alone enters it."""

from daemon.runtime.port import Engine


class EngineShelf:
    """Holds at most one engine, so that a candidate which the gate has loaded need not be loaded again to serve.

    Not thread-safe: only the deployer's lane puts and takes. Owns what it holds; ``take`` hands ownership on.
    """

    def __init__(self) -> None:
        self._held: tuple[str, Engine] | None = None

    def put(self, key: str, engine: Engine) -> None:
        """Hold ``engine`` under ``key`` (the candidate's identity); an engine that was held before is closed."""
        if self._held is not None and self._held[1] is engine:
            self._held = None
        self.clear()
        self._held = (key, engine)

    def take(self, key: str) -> Engine | None:
        """Hand over the engine held under ``key``; None, and nothing changes, when it is another's or there is none."""
        if self._held is None or self._held[0] != key:
            return None
        engine = self._held[1]
        self._held = None
        return engine

    def clear(self) -> None:
        """Close and forget what is held."""
        held, self._held = self._held, None
        if held is not None:
            held[1].close()
