"""The echo server: stands outside and answers, probes and keeps account, so that a client behind an edge can judge it.

``core`` is the whole server without a socket: values in, values out, with clock, keys and randomness as arguments. Behind it are the
rooms ``sessions``, ``answering``, ``plans`` and ``control``; before it its hands, ``sockets``, ``probing`` and ``web``. ``settings`` is
what it is asked to be, ``desk`` the admin's reading of reports, and ``running`` puts all together. Of edgecheck it uses the wire and the
version; the desk alone uses more.
"""
