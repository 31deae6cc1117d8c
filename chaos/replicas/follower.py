"""A reader that follows the orders by the last id that it has seen, while faults happen."""

import threading

import requests

PAUSE_S = 0.02
PAGE = 1000


class Follower:
    """Reads what comes after the last id, again and again. A row that appears behind it is never seen."""

    def __init__(self, url: str, headers: dict[str, str] | None = None) -> None:
        """Follow the collection at `url`."""
        self._url, self._headers = url, headers or {}
        self._seen: set[int] = set()
        self._last = 0
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)
        self._thread.start()

    def _follow(self) -> None:
        while not self._ending.is_set():
            if not self._read():
                self._ending.wait(PAUSE_S)

    def _read(self) -> int:
        """Read a page, and return how many rows it had."""
        try:
            answer = requests.get(
                self._url, params={"after": self._last, "limit": PAGE}, headers=self._headers, timeout=40
            )
            ids = [item["id"] for item in answer.json()["items"]]
        except (requests.RequestException, ValueError, KeyError):  # in a fault there may be no answer
            return 0
        self._seen.update(ids)
        self._last = max(ids, default=self._last)
        return len(ids)

    def end(self) -> set[int]:
        """Read to the end, and return all ids that were seen."""
        self._ending.set()
        self._thread.join()
        while self._read():
            pass
        return self._seen
