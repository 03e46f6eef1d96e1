"""The one exception that means: the user can put this right; and what a library said, in one line."""


class SeenetError(ValueError):
    """A user's mistake, or a fact of the user's machine; the message names the value and the way out.

    Console scripts print it as one line, without a traceback.
    """


def one_line(error: BaseException) -> str:
    """What an exception says, as one line; its kind where it says nothing (some time-outs do not)."""
    return " ".join(str(error).split()) or type(error).__name__
