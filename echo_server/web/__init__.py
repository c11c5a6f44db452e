"""HTTPS: the page at / and the control channel, a WebSocket on which every request of a session is carried out.

``control_site`` admits a connection to it, ``open_session`` serves it from then on.
"""
