"""`python -m services`: the command line."""

from services.cli import main

main()
