"""Why a run can't go on, or a file can't be read: one sentence that says what to do."""


class BulkError(Exception):
    """The run stops; what is done is kept."""


class BadFile(BulkError):
    """One input can't be read; the others go on. The message follows the file's name."""
