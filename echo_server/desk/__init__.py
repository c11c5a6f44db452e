"""The admin's desk: reports that clients left here, on the command line and on the server's page.

It is the one room of the server that may use the client's floors for reports (to read, compare and show them); nothing that handles a
stranger's packet imports it.
"""
