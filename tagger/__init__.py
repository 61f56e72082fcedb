"""A product record goes in, trustworthy tags come out.

from tagger import Tagger
Tagger("category").tag({"title": "Sencha Green Tea Bags, 100 Count"}).value("category")
"""

from tagger.engines.base import Engine
from tagger.engines.scripted import ScriptedEngine
from tagger.errors import TaggerError
from tagger.evidence import Evidence
from tagger.pipeline import Tagger
from tagger.result import Alternative, Tag, Tagging
from tagger.task import Task, load_task

__all__ = [
    "Alternative",
    "Engine",
    "Evidence",
    "ScriptedEngine",
    "Tag",
    "Tagger",
    "TaggerError",
    "Tagging",
    "Task",
    "load_task",
]
