"""What is true of the eight NATs of ``tests.fakes.nat``: written from what they are told to do."""

EI, AD, APD = "endpoint-independent", "address-dependent", "address-and-port-dependent"
TRUTH: dict[str, tuple[str, str, str, bool]] = {
    "none": (EI, EI, "open internet", False),
    "firewall": (EI, APD, "symmetric udp firewall", False),
    "full cone": (EI, EI, "full cone", True),
    "restricted cone": (EI, AD, "restricted cone", True),
    "restricted by host": (EI, AD, "restricted cone", True),
    "port restricted cone": (EI, APD, "port restricted cone", True),
    "port restricted, open input": (EI, APD, "port restricted cone", True),
    "symmetric": (APD, APD, "symmetric", True),
}
"""Mapping, filtering, RFC 3489's name, whether anything is translated."""
