"""Defects that the campaign must find: `--extra asynchronous`, `--extra trusting`, `--extra cancelling`."""

from typing import TYPE_CHECKING

from ...system import SERVICES, wait_until

if TYPE_CHECKING:
    from ..system import SwarmSystem

DEFECTS = ("asynchronous", "trusting", "cancelling")
SETTINGS = ("synchronous_mode=false", "synchronous_mode_strict=false")
PLANTED_S = 120.0


def plant(defect: str, system: "SwarmSystem") -> None:
    """Break the stack: it confirms what no standby has."""
    if defect == "asynchronous":
        words = [word for setting in SETTINGS for word in ("-s", setting)]
        system.patronictl(system.primary(), "edit-config", "--force", *words)
        text = "SHOW synchronous_standby_names"
        wait_until(lambda: system.sql("postgres", text) == [""], PLANTED_S, "asynchronous replication")
        return
    for service in SERVICES:  # services whose engine takes for success what is none: see Dockerfile
        image = f"threefold-{service}:{defect}"
        arguments = ("--target", defect, "--build-arg", f"SERVICE={service}", "-t", image)
        system.run("docker", "build", "-q", *arguments, "chaos/swarm/planted")
        system.update(service, "--no-resolve-image", "--image", image)
