"""Record traces from a frontier model behind a server, without repeating or repaying requests."""
