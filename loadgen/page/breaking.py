"""Breaks services on demand, through the container that compose.chaos.yml adds."""

import json
from pathlib import Path
from typing import Any

from ..settings import SERVICES, Settings
from ..traffic.sender import Http

FAULTS = {  # what a fault does, as a sentence after the name of the service
    "kill": "was killed, and is started again after {} s",
    "pause": "stands still for {} s",
    "cut": "is cut off from the network for {} s",
}


class Breaking:
    """Kills, pauses and cuts off services."""

    def __init__(self, settings: Settings) -> None:
        self._url, self._token_file = settings.chaos_url, settings.chaos_token_file
        self.services = SERVICES if self._url else ()  # that can be broken here
        self.faults = tuple(FAULTS)

    def strike(self, service: str, fault: str) -> tuple[int, dict[str, Any]]:
        """Break a service. Return a status, and what was done or why not."""
        if service not in self.services or fault not in FAULTS:
            return 404, {"error": "There is no such service or fault here."}
        try:
            http = Http(self._url, Path(self._token_file).read_text(encoding="utf-8"), connections=1)
            try:
                status, _, content = http.request("POST", f"/{service}/{fault}")
            finally:
                http.close()
            said = json.loads(content)
        except Exception as error:  # no answer, of any sort
            return 502, {"error": f"The container that breaks services does not answer ({type(error).__name__})."}
        if status != 200:
            return status, {"error": said["error"]}
        return 200, {"done": f"{service} {FAULTS[fault].format(said['seconds'])}."}
