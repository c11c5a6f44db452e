"""edgecheck: finds out what a network's edge does to VoIP.

This file imports nothing: the echo server imports this package for ``edgecheck.wire`` alone.
"""

__version__ = "0.1.0"
