"""Cheats against scorers: whole subnets are played, ledger and all, and the table says what cheating earned."""
