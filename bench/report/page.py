"""results.md and its plots, from the JSON alone."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from .drawings import DRAWINGS
from .tables import TABLES, table

Json = Mapping[str, Any]
Figures = Mapping[str, Any]
QUIET = 0.05  # share of the machine that other programs may take; above it, figures are marked

READ = """
## How to read this

- Every contender runs on the same machine, on loopback, with one process for each service and the same load tool beside
  it. On few cores they share the processor, so a rate depends on the CPU time of all of them. Ratios carry over to other
  machines better than rates do.
- A figure is the median of its rounds; the lowest and the highest stand behind it. Targets are measured in turn, each
  round begins with another one, and the first round does not count. A ratio is taken within each round, because a
  disturbance affects both of its figures.
- The load is closed (wrk: a connection waits for its answer) unless it is called open (oha: requests are scheduled at a
  constant rate, and a response time counts from the scheduled moment).
- A measurement fails if an answer is not 2xx, if an item of a batch is refused, or if the database has fewer rows than
  were acknowledged. Such an answer never counts as a fast one.
- Peers have the same durability: a write-ahead log, `synchronous=FULL`, and the answer after the sync. Their syncs are
  counted from outside before the run. This project's services also write an access log, keep idempotency keys, validate,
  and answer with problem details; the peers do not.
- "Others" is the share of the machine's CPU time that went to unrelated programs. Above 5 % the machine was not quiet:
  repeat the part.
"""


def text(content: Json, plots: Iterable[str] = ()) -> str:
    """Return the whole of results.md; `plots` are the names of the parts that have one."""
    parts = content["parts"]
    lines = ["# What `make bench` measured", ""]
    lines += [*warnings(parts), "## When and where", "", *provenance(parts)]
    for name, (title, table_of) in TABLES.items():
        lines += ["", f"## {title}", ""]
        figures = figures_of(parts, name)
        if figures is None:
            lines.append(why_not(parts, name))
            continue
        if name in plots:
            lines += [f"![{title}]({name}.svg)", ""]
        lines += table_of(figures)
    return "\n".join(lines) + "\n" + READ


def figures_of(parts: Json, name: str) -> Figures | None:
    """Return the figures of a part; None without any."""
    figures: Figures | None = parts.get(name, {}).get("figures")
    return figures


def why_not(parts: Json, name: str) -> str:
    failed = parts.get(name, {}).get("failed")
    return f"Not measured: {failed}" if failed else "Not measured."


def warnings(parts: Json) -> list[str]:
    """Return what a reader must know before the figures."""
    found = []
    measured = {name: part["measured"] for name, part in parts.items() if "figures" in part}
    if any(each["options"]["short"] for each in measured.values()):
        found.append("**A smoke run: it shows that everything works. Its figures mean nothing.**")
    if len({each["commit"] for each in measured.values()}) > 1 or len(machines(parts)) > 1:
        found.append("**Not one run: parts were measured at different commits or on different machines, see below.**")
    noisy = [name for name, each in measured.items() if each["others"] is not None and each["others"] > QUIET]
    if noisy:
        found.append(
            f"**The machine was not quiet during {', '.join(noisy)}: other programs took part of it, see below.**"
        )
    return [line for each in found for line in (each, "")]


def machines(parts: Json) -> list[Json]:
    """Return the different machines. The time of a sync does not tell them apart: it varies on one."""
    found: list[Json] = []
    for part in parts.values():
        machine = {name: value for name, value in part["measured"]["machine"].items() if name != "sync_ms"}
        if machine not in found:
            found.append(machine)
    return found


def provenance(parts: Json) -> list[str]:
    """Return when each part was measured, of which commit, and on which machine."""
    known = machines(parts)
    lines = []
    for number_, each in enumerate(known, start=1):
        lines.append(
            f"Machine {number_}: {each['cores']} cores ({each['cpu']}), {each['memory_gb']:g} GB, {each['kernel']}, Python"
            f" {each['python']}, SQLite {each['sqlite']} (apsw), databases on {each['file_system']}."
        )
        lines.append("")
    rows = []
    for name in TABLES:
        if (part := parts.get(name)) is None:
            rows.append((name, *["–"] * 7))
            continue
        measured, options = part["measured"], part["measured"]["options"]
        machine = {key: value for key, value in measured["machine"].items() if key != "sync_ms"}
        others = "–" if measured["others"] is None else f"{measured['others']:.0%}"
        rows.append((
            name, measured["at"], measured["commit"], str(known.index(machine) + 1),
            f"{options['rounds']} x {options['seconds']:g} s", f"{measured['seconds']:.0f} s",
            others, f"{measured['machine']['sync_ms']:.2f} ms",
        ))  # fmt: skip
    header = ("part", "at", "commit", "machine", "rounds", "took", "others", "a sync")
    return lines + table(header, rows)


def plots(content: Json) -> dict[str, str]:
    """Return the SVG of each part that was measured and has a plot."""
    drawn = {}
    for name, draw in DRAWINGS.items():
        if (figures := figures_of(content["parts"], name)) is not None:
            drawn[name] = draw(figures["series"])
    return drawn


def write(content: Json, directory: Path) -> None:
    """Write results.md and the plots. Remove plots of parts that have no figures any more."""
    drawn = plots(content)
    for name, svg in drawn.items():
        (directory / f"{name}.svg").write_text(svg, encoding="utf-8")
    for name in DRAWINGS.keys() - drawn.keys():
        (directory / f"{name}.svg").unlink(missing_ok=True)
    (directory / "results.md").write_text(text(content, drawn), encoding="utf-8")
