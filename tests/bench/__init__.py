"""Benchmarks: each a program of its own (``python -m tests.bench.NAME``), none of them part of the test suite. What they measured stands in
``docs/benchmarks.md``."""
