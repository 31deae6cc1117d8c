"""What a campaign is made of on each engine."""

from collections.abc import Callable
from dataclasses import dataclass

from . import faults
from .databases.files import Reader, read_files
from .faults import Fault
from .replicas import faults as faults_of_replicas
from .replicas.system import ReplicatedSystem
from .replicas.tables import read_tables
from .swarm import faults as faults_of_swarm
from .swarm.audit import read_nodes
from .swarm.nodes import Nodes
from .swarm.system import SwarmSystem
from .system import System


@dataclass(frozen=True)
class Engine:
    """The faults on an engine, the system that they are injected into, and how its data is read."""

    faults: dict[str, Fault]
    short: tuple[str, ...]
    system: Callable[[bool, tuple[str, ...]], System]
    read_data: Reader


ENGINES = {
    "sqlite": Engine(faults.FAULTS, faults.SHORT, System, read_files),
    "postgres": Engine(
        faults_of_replicas.FAULTS, faults_of_replicas.SHORT, lambda _wired, extra: ReplicatedSystem(extra), read_tables
    ),
    "swarm": Engine(
        faults_of_swarm.FAULTS, faults_of_swarm.SHORT, lambda _wired, extra: SwarmSystem(None, extra), read_nodes
    ),
    "nodes": Engine(
        faults_of_swarm.FAULTS_OF_NODES,
        faults_of_swarm.SHORT_OF_NODES,
        lambda _wired, extra: SwarmSystem(Nodes(), extra),
        read_nodes,
    ),
}
