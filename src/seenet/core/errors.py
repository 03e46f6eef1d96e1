"""User-facing exception type, and a helper that formats third-party errors on one line."""


class SeenetError(ValueError):
    """An error that the user can correct; the message names the value and the remedy.

    Console scripts print the message on one line, without a traceback.
    """


def one_line(error: BaseException) -> str:
    """Return the message of an exception on one line, or its type if the message is empty."""
    return " ".join(str(error).split()) or type(error).__name__
