"""The sockets that go to others: how the plans of ``echo_server.plans`` are carried out.

``probe_sender`` sends datagrams at their times, ``dialer`` opens TCP connections, ``asker`` speaks with a running service. They leave
from sockets of the session's own (``probe_sockets``) and from ports that no router remembers (``source_ports``).
"""
