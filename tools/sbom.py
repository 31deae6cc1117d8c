"""`make sbom`: what is in each image, as a CycloneDX document: Python's packages, Debian's, and the interpreter.

It asks the images themselves, built by `docker compose build`, not the lock files.
"""

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

from cyclonedx.contrib.license.factories import LicenseFactory
from cyclonedx.model.bom import Bom
from cyclonedx.model.component import Component, ComponentType
from cyclonedx.output.json import JsonV1Dot6
from packageurl import PackageURL

LOOK = """
import importlib.metadata, json, platform, site, subprocess, sys
dpkg = ["dpkg-query", "-W", "-f", "${binary:Package} ${Version} ${Architecture}\\\\n"]
where = sys.path + site.getsitepackages([sys.base_prefix])
found = importlib.metadata.distributions(path=where)
print(json.dumps({
    "interpreter": platform.python_version(),
    "distro": platform.freedesktop_os_release(),
    "python": [[d.name, d.version, d.metadata["License-Expression"]] for d in found],
    "debian": [line.split() for line in subprocess.check_output(dpkg, text=True).splitlines()],
}))
"""


def compose(*arguments: str) -> str:
    """What a Compose command prints. Raises SystemExit with what the engine says."""
    try:
        done = subprocess.run(["docker", "compose", *arguments], capture_output=True, text=True)
    except FileNotFoundError:
        raise SystemExit("There is no docker command: install and start a Docker engine with Compose.") from None
    if done.returncode:
        raise SystemExit(f"docker compose {arguments[0]} failed: {done.stderr.strip()}")
    return done.stdout


def targets() -> dict[str, str]:
    """Images by the target that they are built from, each with a service that runs it."""
    services = json.loads(compose("--profile", "*", "config", "--format", "json"))["services"]
    return {each["build"]["target"]: name for name, each in sorted(services.items(), reverse=True)}


def look(service: str) -> dict[str, Any]:
    """What the image of a service holds."""
    held: dict[str, Any] = json.loads(
        compose("run", "--rm", "-T", "--no-deps", "--entrypoint", "python", service, "-I", "-c", LOOK)
    )
    return held


def bom(name: str, held: dict[str, Any]) -> Bom:
    """The document of an image."""
    document = Bom()
    document.metadata.component = Component(name=f"threefold-{name}", type=ComponentType.CONTAINER)
    parts = [(PackageURL("generic", None, "python", held["interpreter"]), ComponentType.PLATFORM, None)]
    parts += [
        (PackageURL("pypi", None, re.sub(r"[-_.]+", "-", package).lower(), version), ComponentType.LIBRARY, license)
        for package, version, license in held["python"]
    ]
    distro = f"{held['distro']['ID']}-{held['distro']['VERSION_ID']}"
    for package, version, arch in held["debian"]:
        qualifiers = {"arch": arch, "distro": distro}
        purl = PackageURL("deb", held["distro"]["ID"], package.split(":")[0], version, qualifiers)
        parts.append((purl, ComponentType.LIBRARY, None))
    for purl, kind, license in parts:
        licenses = [LicenseFactory().make_from_string(license)] if license else ()
        document.components.add(
            Component(name=purl.name, version=purl.version, type=kind, purl=purl, bom_ref=str(purl), licenses=licenses)
        )
    document.register_dependency(document.metadata.component, document.components)
    return document


def main(directory: Path) -> None:
    """Write a document for each image."""
    compose("--profile", "*", "build", "-q")
    directory.mkdir(parents=True, exist_ok=True)
    for name, service in sorted(targets().items()):
        document = bom(name, look(service))
        file = directory / f"{name}.cdx.json"
        file.write_text(JsonV1Dot6(document).output_as_string(indent=2) + "\n", encoding="utf-8")
        print(f"{file}: {len(document.components)} components")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
