"""The one exception for input that a user can mend."""


class InputError(ValueError):
    """Input that cannot be used: the message says what was expected, what was found and what to do.

    The command line prints it as one line and exits with code 2.
    """
