"""`python -m subnet`: the command line."""

from subnet.cli import main

main()
