"""`python -m chaos.results reports/chaos/<time>`: keep the figures of a campaign in `chaos/results`."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

KEPT = Path(__file__).parent / "results"


def sums(report: dict[str, Any]) -> str:
    """The totals as a clause of a sentence."""
    totals = report["totals"]
    counts = [f"{totals[name]:,} {name}" for name in ("lost", "duplicated", "invented", "dangling")]
    return f"{totals['faults']:,} faults: {totals['acknowledged']:,} acknowledged writes, {', '.join(counts)}"


def page(report: dict[str, Any]) -> str:
    """The figures in Markdown."""
    totals, rows = report["totals"], report["faults"]
    command = f"make chaos SEED={report['seed']} FAULTS={totals['faults']} FLOW={report['flow']}"
    ready = max(row["ready_max_s"] or 0 for row in rows)
    lines = [
        "# One campaign",
        "",
        f"`{command}` on {report['cores']} cores, {report['seconds']:,} s. {sums(report)}, {totals['other']:,} other "
        f"violations; {totals['attempted']:,} writes were attempted. All was ready again within {ready:g} s.",
        "",
        "How it is counted: [docs/chaos.md](../../docs/chaos.md); the same as JSON: [report.json](report.json).",
        "",
    ]
    names = [name.replace("_", " ") for name in rows[0]]
    lines += [f"| {' | '.join(names)} |", f"|---|{'---:|' * (len(names) - 1)}"]
    lines += [f"| {' | '.join('-' if cell is None else str(cell) for cell in row.values())} |" for row in rows]
    return "\n".join(lines) + "\n"


def main(arguments: list[str]) -> int:
    """Copy and render; the exit status."""
    source = Path(arguments[0]) / "report.json" if len(arguments) == 1 else None
    if source is None or not source.is_file():
        print("Name the directory of a campaign: python -m chaos.results reports/chaos/<time>", file=sys.stderr)
        return 2
    report = json.loads(source.read_text())
    if report["verdict"] != 0 or report["fault"]:
        print(f"{source}: only a whole campaign that passed is kept", file=sys.stderr)
        return 1
    shutil.copy(source, KEPT / "report.json")
    (KEPT / "results.md").write_text(page(report))
    print(f"Kept in {KEPT}. In the README: {sums(report)}.")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
