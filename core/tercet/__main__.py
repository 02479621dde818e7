"""`python -m tercet` is the command `tercet`."""

from tercet.cli.app import main

main()
