"""What is handed over with a network: its source, and whether others build the same from its description."""
