"""What the server is asked to be, and what it finds on its own machine. The ground floor: nothing else of the server is known here.

Options (``config``), addresses (``local_addresses``), the folder of what must not be forgotten (``state``), and what is kept in it: the
token that admits a client (``tokens``) and the certificate (``certificate``).
"""
