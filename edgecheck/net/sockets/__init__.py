"""The client's sockets: UDP and TCP, ten thousand of them at once, and the one place to wait for anything that arrives."""
