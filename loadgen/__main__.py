"""`python -m loadgen`: Locust, with our locustfile and our defaults. All of Locust's options are there."""
# mypy: allow-untyped-calls

import os
import sys
from pathlib import Path

from locust import events
from locust.exception import RPCError
from locust.main import main

from .options import add_options

CANNOT_START = 2  # exit status

if __name__ == "__main__":
    os.environ.setdefault("LOCUST_LOCUSTFILE", str(Path(__file__).with_name("locustfile.py")))
    # Here and not in the locustfile: Locust answers --help before it has read that.
    events.init_command_line_parser.add_listener(add_options)
    started: list[bool] = []
    events.init.add_listener(lambda **_: started.append(True))
    sys.argv[0] = "loadgen"
    try:
        main()
    except RPCError as error:
        print(f"loadgen: No worker could reach this master ({error}): see --master-bind-port.", file=sys.stderr)
        sys.exit(CANNOT_START)
    except SystemExit as end:
        # Where Locust cannot start, for example because a port is taken, it often exits with 1: that is a verdict here.
        sys.exit(end.code if started or not end.code else CANNOT_START)
