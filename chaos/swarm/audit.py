"""The audit of every database node: what the primary holds is judged, and each standby must hold the same."""

from collections.abc import Iterator

from ..databases.files import File
from ..databases.stock import Stock
from ..replicas.tables import read_tables
from .system import DATABASES, Node, SwarmSystem

Held = tuple[dict[str, File], Stock, list[str]]


def read_nodes(system: SwarmSystem) -> Held:
    """Return what the primary holds, and the damage on any node. Raises NotHappened: a node cannot be read."""
    system.await_whole()
    system.await_standbys()
    primary = system.primary()
    files, stock, damage = held = read_tables(Node(system, primary))
    for name in DATABASES:
        if name != primary:
            damage += [f"{name}: {said}" for said in differences(held, read_tables(Node(system, name)))]
    return files, stock, damage


def differences(of_primary: Held, of_standby: Held) -> Iterator[str]:
    """Yield a sentence for each thing in which a standby differs from the primary, and for its damage."""
    yield from of_standby[2]
    for service, file in of_primary[0].items():
        its = of_standby[0][service]
        if rows := its.rows.items() ^ file.rows.items():
            yield f"{len(rows)} rows of {service} differ from those of the primary"
        if its.unkeyed != file.unkeyed:
            yield f"the kept answers of {service} differ from those of the primary"
    if of_standby[1] != of_primary[1]:
        yield "its units differ from those of the primary"
