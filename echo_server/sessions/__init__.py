"""What the server knows of its clients, and how much of it it may keep.

A session (``session``) has proved addresses (``cookies``, ``tickets``), may use so much (``limits``), and has receipts of what its
packets did here (``ledger``). ``contacts`` and ``reached`` are what is remembered across sessions. No socket, no clock.
"""
