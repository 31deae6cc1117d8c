"""The course: classic faults of distributed systems as small changes of the real code, each run under load."""
