"""Tests: one file per source file, same name; fakes, the laboratory and benchmarks beside them."""
