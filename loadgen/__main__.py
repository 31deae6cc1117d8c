"""`python -m loadgen`: Locust, with our locustfile and our defaults. All of Locust's options are there."""
# mypy: allow-untyped-calls

import os
import sys
from pathlib import Path

from locust import events
from locust.main import main

from .options import add_options

if __name__ == "__main__":
    os.environ.setdefault("LOCUST_LOCUSTFILE", str(Path(__file__).with_name("locustfile.py")))
    # Here and not in the locustfile: Locust answers --help before it has read that.
    events.init_command_line_parser.add_listener(add_options)
    sys.argv[0] = "loadgen"
    main()
