"""What the server sends of its own accord, because a session asked: what, from which socket, to where and when. Plans, no sockets.

``prober`` sends probes and dials TCP, ``inquiry`` asks a running service who it is, ``sip_caller`` calls a phone that has registered. Each
goes only to an address that the session has proved to be its own. ``echo_server.probing`` carries the plans out.
"""
