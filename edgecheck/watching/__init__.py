"""Looking again and again: what changed is told, what did not is counted."""
