"""The command line, and the composition of services into processes."""


def main() -> None:
    """The console script `omniroute`."""
    from services.cli.app import app

    app()
