"""Templates by anyone in, an environment out in which they can neither take hold of the machine nor keep it busy.

Jinja's sandbox keeps a template away from Python's inner attributes, but lets it call every method of what it is
shown, loop for ever and make texts of any length. Here it calls methods of texts, numbers and collections, macros and
Jinja's own helpers alone; every turn of a loop, call and long text takes from STEPS; and no value has more than
LONGEST characters and items. Nothing depends on a clock: the same template and record always end alike.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sized
from contextvars import ContextVar
from functools import wraps
from types import BuiltinMethodType, CodeType, MappingProxyType, MethodType
from typing import Any, cast

import jinja2
from jinja2 import nodes
from jinja2.compiler import CodeGenerator
from jinja2.environment import TemplateModule
from jinja2.exceptions import SecurityError
from jinja2.runtime import BlockReference, LoopContext, Macro, markup_join
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import Cycler, Joiner, Namespace, pass_context
from jinja2.visitor import NodeTransformer

STEPS = 200_000
"""Turns of loops and calls in a block."""
LONGEST = 4_000_000
"""Characters and items of a value, and characters of a block."""
_A_STEP = 256
"""Characters that are worked on in the time of a step."""
_AN_ITEM = 16
"""Characters that weigh as much as an item of a list."""
_PLAIN = (str, bytes, int, float, list, tuple, dict, set, frozenset, range, MappingProxyType)
"""Whose methods a template may call, beside those of Jinja's own helpers."""
_QUICK_FILTERS = frozenset({"count", "d", "default", "first", "items", "last", "length"})
_QUICK = frozenset({"get", "items", "keys", "values"})
"""Those that take no longer with more to look at."""
_GROWING = frozenset({
    "batch", "center", "expandtabs", "indent", "join", "ljust", "replace", "rjust", "round", "slice", "to_bytes",
    "tojson", "translate", "wordwrap", "zfill",
})  # fmt: skip
"""Those whose result may be as long as the lengths of all that they are given, multiplied."""
_JINJAS = frozenset({"_block_vars", "_loop_vars"})
"""What Jinja adds to every call in a block or loop."""
_LITERALS = (nodes.List, nodes.Tuple, nodes.Dict)
_COPYING = frozenset({"sum", "wordwrap"})
"""Those that may copy what they have so far again and again."""
_left: ContextVar[list[int]] = ContextVar("left")


class TooMuch(Exception):
    """A template does more than it may: the message says what."""


def bounded(written: Iterator[str]) -> str:
    """What a template writes, as one text, with STEPS steps to write it in; TooMuch if they are not enough."""
    token = _left.set([STEPS])
    try:
        return _concat(written)
    finally:
        _left.reset(token)


def _concat(parts: Iterable[str]) -> str:
    """Texts as one; TooMuch if they have more than LONGEST characters."""
    found = list(parts)
    length = sum(map(len, found))
    if length > LONGEST:
        raise TooMuch(f"writes more than {LONGEST:,} characters")
    if length >= _A_STEP:
        _charge(length // _A_STEP)
    return "".join(found)


class Sandbox(ImmutableSandboxedEnvironment):
    """Jinja's environment with these bounds."""

    intercepted_binops = frozenset({"*", "**", "%", "+"})
    concat = staticmethod(_concat)

    def __init__(self, **options: Any) -> None:
        """`options` are those of a Jinja environment."""
        super().__init__(**options, finalize=_shown)
        self.code_generator_class = _Generator
        del self.globals["lipsum"], self.filters["random"]  # a prompt is the same every time
        compared = ["in", "eq", "equalto", "==", "ne", "!=", "lt", "lessthan", "<", "le", "<=", "gt", "greaterthan"]
        self.filters = {name: _watched(name, kept) for name, kept in self.filters.items()}
        self.tests |= {name: _watched(name, cast(Any, self.tests[name])) for name in [*compared, ">", "ge", ">="]}
        self.filters |= {" steps": _steps_of, " joined": _joined, " made": _made, " looked at": _looked_at}

    def is_safe_callable(self, obj: Any) -> bool:
        """Whether a template may call it: a file's `read_text` or a model's `parse_raw` it may not."""
        if isinstance(obj, Macro | LoopContext | BlockReference | Joiner):
            return True
        if isinstance(method := _method(obj), BuiltinMethodType | MethodType):
            return isinstance(method.__self__, (*_PLAIN, LoopContext, Cycler))
        return any(obj is own for own in self.globals.values())

    def call(self, context: Any, obj: Any, /, *args: Any, **kwargs: Any) -> Any:
        """A call in a template: a step, and more for methods that take longer."""
        _charge(1)
        if not self.is_safe_callable(obj):
            raise SecurityError(f"it calls {getattr(obj, '__name__', type(obj).__name__)!r}")
        if isinstance(obj, LoopContext):
            args = (_steps(args[0]), *args[1:]) if args else args
        elif isinstance(obj, type) or getattr(obj, "catch_varargs", False) or getattr(obj, "catch_kwargs", False):
            _weight([*args, *(value for name, value in kwargs.items() if name not in _JINJAS)])
        elif isinstance(owner := getattr(_method(obj), "__self__", None), _PLAIN) and obj.__name__ not in _QUICK:
            named = {name: value for name, value in kwargs.items() if name not in _JINJAS}
            _, *counted = _allowed(obj.__name__, (owner, *args), named)
            return _result(context.call(obj, *counted, **kwargs))
        return context.call(obj, *args, **kwargs)

    def call_binop(self, context: Any, operator: str, left: Any, right: Any) -> Any:
        """`left operator right`; TooMuch for a result that is too large."""
        numbers = isinstance(left, int) and isinstance(right, int)
        if numbers and operator in ("*", "**"):
            bits = left.bit_length() * right if operator == "**" else left.bit_length() + right.bit_length()
            if bits > 64:
                raise TooMuch("computes with numbers of more than 18 digits")
        elif operator == "*" and not isinstance(left, float) and not isinstance(right, float):
            _no_longer("*", [max(1, _size(side)) for side in (left, right)], LONGEST)
        elif operator == "%" and isinstance(left, str | bytes):
            _allowed("%", (left, right), {})
        return _result(super().call_binop(context, operator, left, right))

    def compile(self, *args: Any, **kwargs: Any) -> CodeType:  # type: ignore[override]
        """Jinja's, whose errors are TemplateSyntaxErrors even where Python refuses what Jinja made."""
        try:
            return super().compile(*args, **kwargs)  # type: ignore[no-any-return]
        except (RecursionError, SyntaxError, MemoryError):
            raise jinja2.TemplateSyntaxError("loops or brackets stand too deep in each other", 1) from None


class _Generator(CodeGenerator):
    """Writes Python for the tree with bounds in it; the tree that others look at has none."""

    def visit_Template(self, node: nodes.Template, frame: Any = None) -> None:
        super().visit_Template(_Bounds().visit(node), frame)


class _Bounds(NodeTransformer):
    """A template's tree in, the same with what counts and measures around what may run long or grow."""

    def generic_visit(self, node: Any, *args: Any, **kwargs: Any) -> nodes.Node:
        super().generic_visit(node, *args, **kwargs)
        if isinstance(node, nodes.For):
            node.iter = _around(node.iter, " steps")
        elif isinstance(node, nodes.Compare):
            sides = [node.expr, *(operand.expr for operand in node.ops)]
            fixed = any(isinstance(side, nodes.Const) for side in sides)
            for operand in node.ops:
                if operand.op in ("in", "notin") or not fixed:
                    operand.expr = _around(operand.expr, " looked at")
        elif isinstance(node, nodes.Concat):
            return _around(nodes.List(node.nodes, lineno=node.lineno, environment=node.environment), " joined")
        elif isinstance(node, _LITERALS) and getattr(node, "ctx", "load") == "load":
            fixed = all(isinstance(below, (nodes.Const, *_LITERALS)) for below in node.find_all(nodes.Expr))
            return _around(node, " made") if not fixed else node
        elif isinstance(node, nodes.Getitem) and isinstance(node.arg, nodes.Slice):
            return _around(node, " made")
        return cast(nodes.Node, node)


def _method(obj: Any) -> Any:
    """`obj`, or the method of a text that Jinja has put a guard around."""
    return getattr(obj, "__wrapped__", obj)


def _around(node: Any, name: str) -> nodes.Expr:
    return nodes.Filter(node, name, [], [], None, None, lineno=node.lineno, environment=node.environment)


@pass_context  # so that Jinja does not run it when it compiles
def _steps_of(_: Any, items: Any) -> Iterator[Any]:
    return _steps(items)


@pass_context
def _joined(context: Any, parts: list[Any]) -> str:
    texts = [part if isinstance(part, str) else _shown(part) for part in parts]
    return markup_join(texts) if context.eval_ctx.autoescape else _concat(texts)


@pass_context
def _made(_: Any, value: Any) -> Any:
    return _result(value)


@pass_context
def _looked_at(_: Any, value: Any) -> Any:
    _charge(_cost(value))
    return value


def _steps(items: Iterable[Any]) -> Iterator[Any]:
    """The items, each of which is a step."""
    left = _left.get([STEPS])
    for item in items:
        left[0] -= 1
        if left[0] < 0:
            raise TooMuch(f"loops more than {STEPS:,} times")
        yield item


def _charge(steps: int) -> None:
    left = _left.get(None)
    if left is not None:
        left[0] -= steps
        if left[0] < 0:
            raise TooMuch(f"loops more than {STEPS:,} times")


def _cost(value: Any) -> int:
    """Steps that it takes to look at all of a value."""
    if isinstance(value, str | bytes):
        return len(value) // _A_STEP
    return len(value) if isinstance(value, Sized) and not isinstance(value, Mapping | set | frozenset) else 0


def _watched(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
    """A filter or test of Jinja that is charged for, and makes nothing too long."""
    if name in _QUICK_FILTERS:
        return function
    first = 1 if hasattr(function, "jinja_pass_arg") else 0
    name = "%" if name == "format" else name

    @wraps(function)
    def watched(*args: Any, **kwargs: Any) -> Any:
        given = _allowed(name, args[first:], kwargs)
        return _result(function(*args[:first], *given, **kwargs))

    return watched


def _allowed(name: str, given: tuple[Any, ...], kwargs: Mapping[str, Any]) -> list[Any]:
    """What a filter, a test or a method is given, its subject first, counted; TooMuch if that makes too much."""
    found = []
    for value in given:
        if isinstance(value, Namespace | TemplateModule):
            raise TooMuch("shows a namespace or an imported template as text")
        if isinstance(value, Iterator):
            value = list(_steps(value)) if name in _GROWING | _COPYING else _steps(value)
        _charge(len(value) if isinstance(value, Mapping) else _cost(value))
        found.append(value)
    others = [*found[1:], *kwargs.values()]
    if name in ("%", "format", "format_map") and _wide(name, str(found[0])):
        raise TooMuch("fills a text up to a width of more than four digits, or one that is computed")
    if name in _GROWING:
        own = 1 if isinstance(found[0], int | float) else _size(found[0])
        _no_longer(name, [own, *map(_size, others)], 10 * LONGEST)
    if name in _COPYING and (name != "sum" or any(isinstance(value, list | tuple) for value in others)):
        _no_longer(name, [_size(found[0]) // _AN_ITEM] * 2, LONGEST)
    return found


def _wide(name: str, text: str) -> bool:
    """Whether a format may fill up to a width of five digits, or to one that is an argument."""
    if name != "%":
        return bool(re.search(r"\d{5}|\{[^{}]+\{", text))
    return bool(re.search(r"\d{5}" if "%(" in text else r"%[-#0 +]*\d*\.?(?:\*|\d{5})", text))


def _no_longer(name: str, sizes: Iterable[int], most: int) -> None:
    product = 1
    for size in sizes:
        product *= size if name == "*" else 1 + size
    if product > most:
        raise TooMuch(f"makes more than {LONGEST:,} characters or items with {name!r}")


def _size(value: Any) -> int:
    """Of a number itself, else its characters and items."""
    if isinstance(value, int):
        return abs(value)
    return len(value) if isinstance(value, str | bytes) else _weight([value])


def _result(value: Any) -> Any:
    """A value that was made, counted; TooMuch for too long a one."""
    if isinstance(value, str | bytes):
        if len(value) > LONGEST:
            raise TooMuch(f"makes a text of more than {LONGEST:,} characters")
        _charge(len(value) // _A_STEP)
    elif isinstance(value, list | tuple | dict | set | frozenset):
        _weight([value])
    return value


def _weight(values: Iterable[Any]) -> int:
    """Characters in values, however deep, an item counting for some; TooMuch for more than LONGEST."""
    todo, weight, items = list(values), 0, 0
    while todo:
        value = todo.pop()
        if isinstance(value, Namespace | TemplateModule):
            raise TooMuch("puts a namespace or an imported template into a list or a call")
        items += 1
        weight += _AN_ITEM
        if isinstance(value, str | bytes | range):
            weight += len(value) * (_AN_ITEM if isinstance(value, range) else 1)
        if weight > LONGEST:
            raise TooMuch(f"makes more than {LONGEST:,} characters or items")
        if isinstance(value, Mapping):
            todo += [*value.keys(), *value.values()]
        elif isinstance(value, Collection) and not isinstance(value, str | bytes | range):
            todo += value
    _charge(items // 4)
    return weight


def _shown(value: Any) -> str:
    """A value as the text that stands in a prompt."""
    if isinstance(value, str):
        return value
    if isinstance(value, Namespace | TemplateModule):
        raise TooMuch("shows a namespace or an imported template as text")
    text = str(value)
    _charge(len(text) // _A_STEP)
    return text
