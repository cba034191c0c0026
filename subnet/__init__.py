"""What a validator runs and a person touches: rounds, scoring, settlement, engines and the command line."""

from subnet._version import __version__

__all__ = ["__version__"]
