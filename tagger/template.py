"""The text of a prompt.jinja in, a checked template out, and its blocks as text.

A template has two blocks: `instruction`, which sees the fields that are asked, and `record`, which
sees one record. Templates run in a sandbox (sandbox.py) with undefined names forbidden.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import jinja2
import jinja2.meta
from jinja2 import nodes

from tagger.errors import TaskError
from tagger.sandbox import Sandbox, TooMuch, bounded

BLOCKS = {"instruction", "record"}
CONTEXT = {"task", "fields", "form", "codes", "shortlist", "record", "candidates"}


def environment(folders: Iterable[Path]) -> jinja2.Environment:
    """The Jinja environment in which every template runs: sandboxed, strict, white space kept sane."""
    return Sandbox(
        loader=jinja2.FileSystemLoader(list(folders)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
        autoescape=False,
    )


def check_template(env: jinja2.Environment, name: str, columns: Iterable[str], where: str) -> str:
    """The template's source with that of every include, or TaskError at the line that is wrong.

    Refused: syntax errors, a missing block, a name that no prompt has, `record.x` for a column that the
    task does not declare, and an include that is not there or has no fixed name.
    """
    allowed = set(columns)
    sources, todo, seen = "", [name], {name}
    while todo:
        current = todo.pop()
        try:
            source, _, _ = env.loader.get_source(env, current)  # type: ignore[union-attr]
            tree = env.parse(source)
            _check_names(tree, allowed, where if current == name else current)
        except jinja2.TemplateNotFound as error:
            raise TaskError(f"no such template: {error.name}", where=where) from None
        except UnicodeDecodeError as error:
            raise TaskError(f"not UTF-8: {error}", where=where) from None
        except jinja2.TemplateSyntaxError as error:
            raise TaskError(f"template syntax: {error.message}", where=f"{where}:{error.lineno}") from None
        except (RecursionError, ValueError):
            raise TaskError("brackets stand too deep in each other, or a number is too long", where=where) from None
        if current == name and (missing := BLOCKS - {block.name for block in tree.find_all(nodes.Block)}):
            hint = "write {% block instruction %}...{% endblock %}{% block record %}...{% endblock %}"
            raise TaskError(f"the template lacks the block {', '.join(sorted(missing))}", where=where, hint=hint)
        sources += source
        included = [t for t in jinja2.meta.find_referenced_templates(tree) if t is not None]
        if None in jinja2.meta.find_referenced_templates(tree):  # nobody could check it, nor would the version tell
            raise TaskError("the name of an included template must be a text in quotes", where=where)
        if again := [t for t in included if t in seen]:
            raise TaskError(f"template {again[0]!r} is included more than once", where=where)
        seen.update(included)
        todo += included
    return sources


def render_block(template: jinja2.Template, block: str, context: Mapping[str, Any], where: str) -> str:
    """One block of a template as text, without white space at its ends.

    TaskError for whatever goes wrong in it, and for loops, calls and texts beyond the bounds of sandbox.py.
    """
    try:
        return bounded(template.blocks[block](template.new_context(dict(context)))).strip()
    except TooMuch as error:
        hint = "take loops out of each other, or repeat and fill up less: a prompt needs a step for each label and line"
        raise TaskError(f"block {block!r}: {error}", where=where, hint=hint) from None
    except jinja2.UndefinedError as error:
        raise TaskError(f"block {block!r}: {error.message}", where=where) from None
    except jinja2.exceptions.SecurityError as error:
        raise TaskError(f"block {block!r} does what a template may not: {error}", where=where) from None
    except Exception as error:  # a template is a person's code, and whatever it raises is that person's mistake
        raise TaskError(f"block {block!r}: {type(error).__name__}: {error}", where=where) from None


def _check_names(tree: nodes.Template, columns: set[str], where: str) -> None:
    unknown = jinja2.meta.find_undeclared_variables(tree) - CONTEXT
    for node in tree.find_all((nodes.Name, nodes.Getattr)):
        if isinstance(node, nodes.Name) and node.name in unknown:
            hint = f"a template knows {', '.join(sorted(CONTEXT))}; columns are record.{sorted(columns)[0]}"
            raise TaskError(f"unknown variable {node.name!r}", where=f"{where}:{node.lineno}", hint=hint)
        if (
            isinstance(node, nodes.Getattr)
            and isinstance(node.node, nodes.Name)
            and node.node.name == "record"
            and node.attr not in columns
        ):
            hint = f"the task's columns are: {', '.join(sorted(columns))}"
            raise TaskError(f"unknown variable 'record.{node.attr}'", where=f"{where}:{node.lineno}", hint=hint)
