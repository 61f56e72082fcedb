"""Every error that tagger raises, and nothing else.

    TaggerError               something a person must do; shown without a stack trace
    ├── SettingsError         an option or an environment variable
    ├── TaskError             a task folder: task.toml, prompt.jinja, examples.jsonl, plan.toml, rules.toml
    ├── FieldError            a field that a task does not have; also a KeyError
    ├── SourceError           a file of records, or the folder for the output
    ├── WeightsError          a model that cannot be found, fetched or trusted
    └── EngineError           an engine that cannot start or has died
        ├── ConstraintError   an engine that does not hold answers to the grammar
        └── LostError         an engine that has died in a service, and cannot be opened again yet

What goes wrong with *one record* is no exception: it is a `Rejected` value that reaches the sink.
"""

from __future__ import annotations


class TaggerError(Exception):
    """What was expected and found (`message`), in which place (`where`), and the way out (`hint`)."""

    def __init__(self, message: str, *, where: str | None = None, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.where = where
        self.hint = hint

    def __str__(self) -> str:
        place = f"{self.where}: " if self.where else ""
        remedy = f"\n  what to do: {self.hint}" if self.hint else ""
        return f"{place}{self.message}{remedy}"


class SettingsError(TaggerError):
    """An option or an environment variable has a value that cannot be used."""


class TaskError(TaggerError):
    """A task folder does not describe a task; `where` names file and line or key."""


class FieldError(TaggerError, KeyError):
    """A task does not have the field that its value is asked of."""


class SourceError(TaggerError):
    """A file of records cannot be read, or the output folder cannot be written."""


class WeightsError(TaggerError):
    """A model cannot be found, fetched, or does not have the hash that it must have."""


class EngineError(TaggerError):
    """An engine cannot start here, or it died; the run stops."""


class ConstraintError(EngineError):
    """The start-up canary got an answer that the grammar forbids."""


class LostError(EngineError):
    """The engine of a service has died; what can wait, asks again."""

    def __init__(self) -> None:
        super().__init__("it has died", hint="it is opened again when it is asked; the log says what it lacks")
