"""The control channel without its socket: who is admitted (``admission``) and what an open session asks for (``requests``).

A request becomes ``effects``: values that say what is to be done, for whoever owns the sockets. One of them keeps a report that the
client leaves (``shared``).
"""
