"""The one exception that means: the user can put this right."""


class SeenetError(ValueError):
    """A user's mistake, or a fact of the user's machine; the message names the value and the way out.

    Console scripts print it as one line, without a traceback.
    """
