"""Replace a piece of a module of the engine for PostgreSQL: `replace.py MODULE OLD NEW`."""

import sys
from pathlib import Path

module, old, new = sys.argv[1:]
file = Path("/app/service_common/storage/postgres") / module
text = file.read_text()
if text.count(old) != 1:
    sys.exit(f"{module} has {text.count(old)} times {old!r}")
file.write_text(text.replace(old, new))
