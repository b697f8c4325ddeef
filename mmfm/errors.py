"""Errors that are meant for people: a bad config, a missing folder, a damaged file.

The command line prints their message without a traceback and exits with code 2. A defect of our own
stays an ordinary exception (or a failed `assert`) and keeps its traceback.
"""

USER_ERROR_EXIT = 2  # exit code of a command, and of each of its processes, that met a `UserError`


class UserError(ValueError):
    """Something the user can mend. The message names the thing and the way out."""


class ConfigError(UserError):
    """A recipe or an override that cannot be used."""


class DataError(UserError):
    """Input data, shards or notes that are missing, damaged or empty."""


class CheckpointError(UserError):
    """A checkpoint or run folder that is missing, damaged or belongs to another config."""
