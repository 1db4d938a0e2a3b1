"""Failures that a user can do something about; the command line shows their message as one line."""


class ExportError(Exception):
    """Base of export's expected failures; the message says what is wrong and what to do."""


class CheckpointError(ExportError):
    """A checkpoint that cannot be exported; the message names the file or field."""


class ParityError(ExportError):
    """The exported model does not compute what the checkpoint's own framework computed."""


class PublishError(ExportError):
    """The model repository cannot take a new version."""


class DataError(ExportError):
    """A file of labelled texts that cannot be used; the message names the file and row."""


class GateError(ExportError):
    """A model costs more than its precision may; the message names the figures, the text and the tensor."""
