"""Real edges: Linux routers in network namespaces and a user-space router on TUN devices."""
