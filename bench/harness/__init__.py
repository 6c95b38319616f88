"""The pieces of `bench/run`: processes, peers, load, rows, report."""
