"""What a phone does to the network, for the doctor: names, ways to a SIP server, TLS whose handshake is kept."""
