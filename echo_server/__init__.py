"""The echo server: stands outside and answers, probes and keeps account, so that a client behind an edge can judge it.

``core`` is the whole server without a socket: values in, values out, with clock, keys and randomness as arguments.
``listeners``, ``streams``, ``media_sockets``, ``probe_sender``, ``dialer`` and ``web`` are its hands. Of edgecheck it uses the
wire and the version, nothing else.
"""
