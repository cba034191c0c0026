"""Everything of Flower's server side: the ServerApp, the in-process Grid, Flower's own engines."""
