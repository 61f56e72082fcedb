"""A DataFrame in, its rows out; and with what was found out about them, a DataFrame with columns added."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import TYPE_CHECKING, Any

from tagger.errors import SourceError
from tagger.result import Tagging

if TYPE_CHECKING:
    import pandas as pd


def is_frame(value: Any) -> bool:
    """Whether it is a DataFrame; pandas need not be installed."""
    return hasattr(value, "columns") and hasattr(value, "to_dict")


def frame_rows(frame: pd.DataFrame, fields: Iterable[str]) -> list[Any]:
    """The rows, absent cells as None. SourceError if a column would be overwritten by those of `fields`."""
    names = [name for field in fields for name in (field, f"{field}_probability", f"{field}_untraced")]
    if taken := {"outcome", "reason", *names} & set(frame.columns):
        hint = "rename it in the DataFrame"
        raise SourceError(f"column {min(taken)!r} would be overwritten by the tags", hint=hint)
    return list(frame.astype(object).where(frame.notna(), None).to_dict("records"))


def with_tags(
    frame: pd.DataFrame,
    fields: Iterable[str],
    taggings: Sequence[Tagging],
    *,
    written: Collection[str] = (),
    ruled: bool = False,
) -> pd.DataFrame:
    """The frame with the columns `<field>`, `<field>_probability`, `outcome` and `reason` added to its own, of fields
    that are descriptions (`written`) `<field>_untraced`: the sentences that were withheld, with why; and of a task with
    rules (`ruled`) `conflicts`: their reasons, a line each."""
    added: dict[str, list[Any]] = {}
    for name in fields:
        added[name] = [t.value(name) for t in taggings]
        added[f"{name}_probability"] = [t.tags[name].probability if name in t.tags else None for t in taggings]
        if name in written:
            lost = [t.tags[name].untraced if name in t.tags else () for t in taggings]
            added[f"{name}_untraced"] = [[{"text": one.text, "reason": one.reason} for one in some] for some in lost]
    added["outcome"] = [t.outcome for t in taggings]
    added["reason"] = [t.reason for t in taggings]
    if ruled:
        added["conflicts"] = ["\n".join(one.reason for one in t.conflicts) or None for t in taggings]
    import pandas as pd

    return pd.concat([frame, pd.DataFrame(added, index=frame.index)], axis=1)  # at once: fields may be hundreds
