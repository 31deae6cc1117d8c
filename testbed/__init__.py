"""Starts services, engines and servers, for tests, benchmark and chaos campaign alike."""

from .fleet import Fleet
from .ports import free_port
from .process import Process
from .services import ROOT, SERVICES
from .waiting import wait_until

__all__ = ["ROOT", "SERVICES", "Fleet", "Process", "free_port", "wait_until"]
