"""The entry of the program, also as ``python -m sync``."""

import signal


def main() -> None:
    """Run the command line. An interrupt while it is imported ends the process as a signal does, without a traceback."""
    handler = signal.getsignal(signal.SIGINT)
    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    from sync.cli.main import main as command_line  # noqa: PLC0415 - see above

    if handler is signal.default_int_handler:
        signal.signal(signal.SIGINT, handler)
    command_line()


if __name__ == "__main__":
    main()
