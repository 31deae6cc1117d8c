"""The load tools that are not ours: wrk for closed load, oha for open load."""
