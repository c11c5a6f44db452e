"""The client's end of the control channel: the way to the echo server, the session, and whether what it says can be true."""
