"""User-correctable errors."""


class UserError(Exception):
    """Something outside the program is wrong: a file, a flag, a device, the disk.

    The message is one line: what, which file, found, expected, what to do. Scripts print it as ``error: ...`` and
    exit with status 1. Any other exception that reaches a script is a bug of ours and keeps its traceback.
    """


class BadImageError(UserError):
    """An image that is missing, truncated, no image, or of another size than annotated; ``--skip_bad`` skips it."""
