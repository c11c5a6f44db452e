"""What this machine says of itself, and what it remembers of earlier runs: per platform, None where it cannot be told."""
