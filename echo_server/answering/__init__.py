"""What arrives: whose it is, and what is answered to it. Values in, values out: no socket, no clock.

``stun``, ``sip_mirror`` and ``media`` know one protocol each. ``accounts`` tells whose a message is, ``answers`` what is answered to it
however it came, ``datagrams`` and ``conversation`` what that means over UDP and on a stream, ``quick_answers`` the short way for a flood.
"""
