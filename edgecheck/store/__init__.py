"""What edgecheck keeps on this machine for the person who runs it: baselines, in the platform's user data directory."""
