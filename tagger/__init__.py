"""A product record goes in, trustworthy tags come out.

from tagger import Tagger
Tagger("category").tag({"title": "Sencha Green Tea Bags, 100 Count"}).value("category")
"""

from typing import TYPE_CHECKING, Any

from tagger.engines.base import Engine
from tagger.engines.scripted import ScriptedEngine
from tagger.errors import EngineError, FieldError, SettingsError, TaggerError
from tagger.evidence import Evidence
from tagger.pipeline import Tagger
from tagger.result import Alternative, Tag, Tagging
from tagger.task import Task, load_task

if TYPE_CHECKING:
    from tagger.client import Client

__all__ = [
    "Alternative",
    "Client",
    "Engine",
    "EngineError",
    "Evidence",
    "FieldError",
    "ScriptedEngine",
    "SettingsError",
    "Tag",
    "Tagger",
    "TaggerError",
    "Tagging",
    "Task",
    "load_task",
]


def __getattr__(name: str) -> Any:
    """`Client`, where it is asked for: it needs the extra [client]."""
    if name == "Client":
        from tagger.client import Client

        return Client
    raise AttributeError(name)
