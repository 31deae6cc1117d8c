"""`python -m chaos.results reports/chaos/<time>`: copy the figures of a campaign into `chaos/results`."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

KEPT = Path(__file__).parent / "results"


def engine_of(report: dict[str, Any]) -> str:
    """Return the name of the engine that a campaign ran on."""
    return str(report.get("engine", "sqlite"))


def names(report: dict[str, Any]) -> tuple[str, str]:
    """Return the names under which a campaign is kept: its page, and its figures as JSON."""
    engine = engine_of(report)
    return ("results.md", "report.json") if engine == "sqlite" else (f"{engine}.md", f"{engine}.json")


def sums(report: dict[str, Any]) -> str:
    """Return the totals as a clause of a sentence."""
    totals = report["totals"]
    counts = [f"{totals[name]:,} {name}" for name in ("lost", "duplicated", "invented", "dangling")]
    return f"{totals['faults']:,} faults: {totals['acknowledged']:,} acknowledged writes, {', '.join(counts)}"


def page(report: dict[str, Any]) -> str:
    """Return the figures in Markdown."""
    totals, rows = report["totals"], report["faults"]
    engine = "" if engine_of(report) == "sqlite" else f"ENGINE={engine_of(report)} "
    command = f"make chaos {engine}SEED={report['seed']} FAULTS={totals['faults']} FLOW={report['flow']}"
    _, kept = names(report)
    ready = max(row["ready_max_s"] or 0 for row in rows)
    lines = [
        "# One campaign",
        "",
        f"`{command}` on {report['cores']} cores, {report['seconds']:,} s. {sums(report)}, {totals['other']:,} other "
        f"violations; {totals['attempted']:,} writes were attempted. Everything was ready again within {ready:g} s.",
        "",
        f"How it is counted: [docs/chaos.md](../../docs/chaos.md); the same as JSON: [{kept}]({kept}).",
        "",
    ]
    columns = [name.replace("_", " ") for name in rows[0]]
    lines += [f"| {' | '.join(columns)} |", f"|---|{'---:|' * (len(columns) - 1)}"]
    lines += [f"| {' | '.join('-' if cell is None else str(cell) for cell in row.values())} |" for row in rows]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Copy and render. Return the exit status."""
    source = Path(arguments[0]) / "report.json" if len(arguments) == 1 else None
    if source is None or not source.is_file():
        print("Name the directory of a campaign: python -m chaos.results reports/chaos/<time>", file=sys.stderr)
        return 2
    report = json.loads(source.read_text())
    if report["verdict"] != 0 or report["fault"]:
        print(f"{source}: only a whole campaign that passed is kept", file=sys.stderr)
        return 1
    rendered, copied = names(report)
    shutil.copy(source, KEPT / copied)
    (KEPT / rendered).write_text(page(report))
    print(f"Kept in {KEPT}. Where it is quoted: {sums(report)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
