"""The sockets that wait for others: bound at the start, drained into the core, and written to on its word.

``binding`` opens them all and says who holds a port that cannot be had (``port_holders``); ``self_test`` proves that they hear each
other. Then ``listeners`` (UDP), ``streams`` (TCP and TLS) and ``media_sockets`` (the RTP range) serve them; ``icmp`` reads what came back
as an error.
"""
