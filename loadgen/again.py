"""`python -m loadgen.again LEDGER`: audit a run once more, as after its data was moved, restored or upgraded.

Sends no writes. It reads all rows back and judges them by the ledger of the run, as the run itself did at its end.
The exit status is the verdict.
"""

import sys
import tempfile
from collections.abc import Iterable, Iterator
from pathlib import Path

from .audit.judge import NO_VERDICT, Report, audit
from .audit.ledger import Line, read, read_rows
from .report.console import new_console, show_findings, show_verdict
from .settings import BadSetting, Settings
from .traffic.readback import ReadBackFailed, read_back
from .traffic.sender import Http


def limited(ledger: Iterable[Line]) -> Iterator[int]:
    """Yield the products of a run that were acknowledged with a stock."""
    for line in ledger:
        if line["event"] == "ok" and isinstance(answer := line.get("answer"), dict):
            for item in [answer, *(each.get("item") or {} for each in answer.get("results", ()))]:
                if item.get("stock") is not None and "price" in item:
                    yield item["id"]


def again(ledger: Path, settings: Settings) -> Report:
    """Read everything back and judge it by a ledger. Raises ReadBackFailed, OSError, ValueError."""
    services = {name: Http(url, settings.token) for name, url in settings.urls.items()}
    with tempfile.TemporaryDirectory() as directory:
        rows = Path(directory) / "rows.jsonl"
        read_back(services, {}, set(limited(read(ledger))), rows)
        return audit(read(ledger), read_rows(rows))


def main(arguments: list[str]) -> int:
    """Audit and print. Return the exit status."""
    if len(arguments) != 1:
        print("Name the ledger of a run: python -m loadgen.again reports/ledger-….jsonl", file=sys.stderr)
        return NO_VERDICT
    try:
        report = again(Path(arguments[0]), Settings.from_env())
    except (BadSetting, ReadBackFailed, OSError, ValueError) as error:
        print(f"No verdict: {error}", file=sys.stderr)
        return NO_VERDICT
    console = new_console()
    show_findings(report, console)
    show_verdict(report, console)
    return report.verdict


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
