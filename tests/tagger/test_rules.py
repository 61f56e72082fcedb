"""Each kind of rule, as a constraint and as a check; every change has a trace, every contradiction reaches a person."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet as pq
import pytest

from eval.record import Header, Run, rows_id, run_row
from eval.score import judge
from tagger import ScriptedEngine, Tagger
from tagger.example import Example
from tagger.masking import masked, restored
from tagger.near import inherited
from tagger.record import Record
from tagger.result import Conflict, Correction, Tagging, tagging_of
from tagger.run import tag_file
from tagger.sinks import Format
from tagger.task import load_task
from tests.tagger.conftest import HOUSE, SEALED

xgrammar_testing = pytest.importorskip("xgrammar.testing")


def tagged(folder: Path, rules: str, answer: Mapping[str, Any], title: str = "x") -> Tagging:
    """What becomes of an answer under rules."""
    (folder / "rules.toml").write_text(rules, "utf-8")
    return Tagger(folder, engine=ScriptedEngine(lambda _: spelled(answer))).tag({"title": title})


def spelled(answer: Mapping[str, Any]) -> str:
    return json.dumps({"kind": "tea", **answer}, ensure_ascii=False)


class Choosing(ScriptedEngine):
    """Says `label` where it may be chosen, the first of other choices, and an object without fields else."""

    def __init__(self, label: str | Mapping[str, float]) -> None:
        super().__init__(lambda _: self._said(label, self.history[-1].constraint.choices))

    @staticmethod
    def _said(label: str | Mapping[str, float], choices: Sequence[str]) -> str | Mapping[str, float]:
        if not isinstance(label, str):
            return label if choices else "{}"
        return label if label in choices else next(iter(choices), "{}")


def test_a_synonym_is_said_and_the_evidence_stays_that_of_the_text(house: Path) -> None:
    rules = '[synonyms.colours]\n"dark blue" = "navy"\n"藏青" = "navy"\n"红" = "red"\n'
    answer = {"colours": ["ＤＡＲＫ  Blue", "藏青", "红"]}

    tagging = tagged(house, rules, answer, "Mug ＤＡＲＫ  Blue 藏青 红")

    tag = tagging.tags["colours"]
    assert tag.value == ["navy", "red"]
    assert [place and (place.start, place.end, place.text) for place in tag.evidences] == [
        (4, 14, "ＤＡＲＫ  Blue"), (18, 19, "红"),
    ]  # fmt: skip
    assert tag.corrections == (
        Correction("synonyms.colours", "ＤＡＲＫ Blue", "navy"),  # a value has single spaces
        Correction("synonyms.colours", "藏青", "navy"),
        Correction("synonyms.colours", "红", "red"),
    )
    assert tagging_of(tagging.to_dict()).to_dict() == tagging.to_dict()
    assert tagging.conflicts == ()


def test_labels_that_are_one_are_as_probable_as_all_of_them(house: Path) -> None:
    keep = HOUSE.split("[fields.traits]")[0].replace(
        '[fields.kind]\nkind = "label"\nlabels = ["tea", "coffee", "茶"]\n', ""
    )
    (house / "task.toml").write_text(keep, "utf-8")
    (house / "rules.toml").write_text('[synonyms.form]\nsachets = "bags"\n', "utf-8")
    masses = {"sachets": 0.4, "loose": 0.3, "bags": 0.2, "pods": 0.1}

    tag = Tagger(house, engine=ScriptedEngine(lambda _: masses)).tag({"title": "x"}).tags["form"]

    assert (tag.value, round(tag.probability, 6)) == ("bags", 0.6)
    assert [other.value for other in tag.alternatives] == ["loose", "pods"]
    assert tag.corrections == (Correction("synonyms.form", "sachets", "bags"),)


@pytest.mark.parametrize("least", [0.0, 0.65, 0.95])
@pytest.mark.parametrize(
    "masses", [{"sachets": 0.5, "bags": 0.4, "pods": 0.1}, {"bags": 0.5, "sachets": 0.4, "pods": 0.1},
               {"pods": 0.35, "bags": 0.33, "sachets": 0.32}]
)  # fmt: skip
def test_which_of_two_spellings_leads_makes_no_difference(house: Path, masses: dict[str, float], least: float) -> None:
    keep = HOUSE.split("[fields.traits]")[0].replace(
        '[fields.kind]\nkind = "label"\nlabels = ["tea", "coffee", "茶"]\n', ""
    )
    (house / "task.toml").write_text(f"{keep}\nabstain_below = {least}\n", "utf-8")
    (house / "rules.toml").write_text('[synonyms.form]\nsachets = "bags"\n', "utf-8")
    p = masses["sachets"] + masses["bags"]

    tag = Tagger(house, engine=ScriptedEngine(lambda _: {**masses, "loose": 0.0})).tag({"title": "x"}).tags["form"]

    assert (tag.value, tag.abstained) == (("bags", False) if p >= least else (None, True))
    assert round(tag.probability, 6) == round(p, 6)
    left = {other.value: round(other.probability, 6) for other in tag.alternatives if other.probability}
    assert left == {**({} if p >= least else {"bags": round(p, 6)}), "pods": masses["pods"]}


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("1.1 l", {"value": 1100, "unit": "ml"}),
        ("3 斤", {"value": 1500, "unit": "g"}),
        ("0.5 kg", {"value": 500, "unit": "g"}),
        ("250 ml", {"value": 250, "unit": "ml"}),
    ],
)
def test_a_quantity_is_told_in_the_unit_of_its_kind(house: Path, written: str, said: dict[str, Any]) -> None:
    tag = tagged(house, '[units]\nvolume = ["ml", "g"]\n', {"volume": written}).tags["volume"]

    assert tag.value == said
    assert json.dumps(tag.value) == json.dumps(said)
    assert len(tag.corrections) == (written != "250 ml")


def test_a_quantity_that_cannot_be_written_in_its_unit_stays_and_is_flagged(house: Path) -> None:
    tagging = tagged(house, '[units]\nvolume = ["l", "kg"]\n', {"volume": "0.0004 ml"})

    assert tagging.value("volume") == {"value": 0.0004, "unit": "ml"}
    assert [(one.rules, one.fields) for one in tagging.conflicts] == [(("units.volume",), ("volume",))]


def test_a_known_brand_is_said_as_the_list_has_it_and_an_unknown_one_flagged(house: Path) -> None:
    (house / "brands.txt").write_text("Acme\tACME Inc\n海尔\tHaier\n", "utf-8-sig")
    rules = '[brands]\nbrand = "brands.txt"\n'

    known = tagged(house, rules, {"brand": "haier"}, "HAIER mug")
    same = tagged(house, rules, {"brand": "Acme"}, "Acme mug")
    unknown = tagged(house, rules, {"brand": "Acne"}, "Acne mug")

    assert known.tags["brand"].corrections == (Correction("brands.brand", "HAIER", "海尔"),)
    assert (known.tags["brand"].evidence.start, known.tags["brand"].evidence.end) == (0, 5)  # type: ignore[union-attr]
    assert same.tags["brand"].corrections == same.conflicts == known.conflicts == ()
    assert unknown.value("brand") == "Acne"
    assert unknown.conflicts == (Conflict(("brands.brand",), ("brand",), 'not on the list: "Acne"'),)


ALLOWED = '[[allowed]]\nif = { CONDITION }\nvalues = { form = ["bags", "loose"], traits = ["new", "gift"] }\n'


def test_what_a_column_forbids_cannot_be_generated(house: Path) -> None:
    (house / "rules.toml").write_text(ALLOWED.replace("CONDITION", 'type = ["Tea", "茶"]'), "utf-8")
    engine = ScriptedEngine(lambda _: spelled({}))
    rows = [{"title": "x", "type": name} for name in ("Tea", "茶", "Coffee", "")]

    Tagger(house, engine=engine).tag(rows)

    grammars = [request.constraint.grammar for request in engine.history]
    assert grammars[0] == grammars[1] != grammars[2] == grammars[3]
    for grammar, free in zip(grammars, (False, False, True, True), strict=True):
        assert xgrammar_testing._is_grammar_accept_string(
            grammar, '{"kind": "tea", "form": "bags", "traits": ["new", "gift"]}'
        )
        assert xgrammar_testing._is_grammar_accept_string(grammar, '{"kind": "tea", "form": "pods"}') is free
        assert xgrammar_testing._is_grammar_accept_string(grammar, '{"kind": "tea", "traits": ["new", "sale"]}') is free
    assert engine.history[0].prompt.head == engine.history[2].prompt.head  # the beginning is shared


def test_what_an_earlier_question_forbids_cannot_be_generated_either(house: Path) -> None:
    asks = ['form = "label"\nfields = ["kind"]', 'form = "label"\nfields = ["form"]', 'form = "json"']
    (house / "plan.toml").write_text("".join(f"[[ask]]\n{ask}\n" for ask in asks), "utf-8")
    (house / "rules.toml").write_text(
        ALLOWED.replace("CONDITION", 'kind = "茶"') + '[[implies]]\nif = { kind = "茶" }\nabsent = ["seal"]\n', "utf-8"
    )
    for said, free in (("茶", False), ("coffee", True)):
        engine = Choosing(said)

        Tagger(house, engine=engine).tag({"title": "x"})

        _, form, rest = (request.constraint for request in engine.history)
        assert ("pods" in form.choices) is free
        assert ("seal" in rest.grammar) is free


def test_a_shortlist_holds_the_likeliest_of_what_is_left(house: Path) -> None:
    labels = [f"Food > Tea > tea {n}" for n in range(30)] + ["Home > Mug", "Home > Pot", "Home > Cup"]
    leaf = f'[fields.leaf]\nkind = "path"\nlabels = {json.dumps(labels)}\n'
    (house / "task.toml").write_text(HOUSE.split("[fields.kind]")[0] + leaf, "utf-8")
    (house / "plan.toml").write_text('[[ask]]\nform = "label"\nfields = ["leaf"]\nshortlist = 2\n', "utf-8")
    rule = '[[allowed]]\nif = { type = "Home" }\nvalues = { leaf = ["Home > Mug", "Home > Pot", "Home > Cup"] }\n'
    (house / "rules.toml").write_text(rule, "utf-8")
    engine = ScriptedEngine()

    Tagger(house, engine=engine).tag([{"title": "tea 7 pot", "type": name} for name in ("Home", "")])

    left, free = (request.constraint.choices for request in engine.history)
    assert left[0] == "Pot"
    assert set(left) < {"Mug", "Pot", "Cup"}
    assert len(left) == len(free) == 2
    assert free[0] == "tea 7"
    assert "Pot" in engine.history[0].prompt.record
    assert "tea 8" not in engine.history[0].prompt.record


def test_what_is_asked_at_once_is_checked_and_the_forbidden_value_withheld(house: Path) -> None:
    tagging = tagged(
        house, ALLOWED.replace("CONDITION", 'kind = "茶"'), {"kind": "茶", "form": "pods", "traits": ["new"]}
    )

    tag = tagging.tags["form"]
    assert (tag.value, tag.abstained, tag.alternatives[0].value) == (None, True, "pods")
    assert tagging.value("kind") == "茶"
    assert tagging.value("traits") == ["new"]
    assert tagging.conflicts == (
        Conflict(
            ("allowed.1",), ("form", "kind"), 'where kind is "茶", form is "bags" or "loose", but it is "pods" (1.00)'
        ),
    )


def test_what_a_rule_concludes_is_said_with_its_trace_and_its_place_in_the_text(house: Path) -> None:
    standing = tagged(house, SEALED, {"organic": True}, "Tea, eu certified").tags["seal"]
    inferred = tagged(house, SEALED, {"organic": True}).tags["seal"]
    neither = tagged(house, SEALED, {"organic": False})

    assert (standing.value, standing.inferred, standing.evidence and standing.evidence.text) == ("EU", False, "eu")
    assert standing.corrections == (Correction("a seal", None, "EU"),)
    assert (inferred.value, inferred.inferred, inferred.evidence) == ("EU", True, None)
    assert "seal" not in neither.tags
    assert neither.conflicts == ()


def test_a_conclusion_is_as_sure_as_its_condition_and_withheld_below_the_threshold_of_its_field(house: Path) -> None:
    text = HOUSE.split("[fields.form]")[0] + '[fields.seal]\nkind = "text"\nabstain_below = 0.7\n'
    (house / "task.toml").write_text(text, "utf-8")
    (house / "plan.toml").write_text('[[ask]]\nform = "label"\nfields = ["kind"]\n[[ask]]\nform = "json"\n', "utf-8")
    (house / "rules.toml").write_text('[[implies]]\nif = { kind = "tea" }\nthen = { seal = "EU" }\n', "utf-8")

    for p in (0.8, 0.6):
        tagging = Tagger(house, engine=Choosing({"tea": p, "coffee": 1 - p, "茶": 0.0})).tag({"title": "x"})

        assert tagging.value("seal") == ("EU" if p > 0.7 else None)
        if p > 0.7:
            assert round(tagging.tags["seal"].probability, 6) == p


def test_of_two_values_that_do_not_go_together_the_less_probable_is_withheld(house: Path) -> None:
    text = HOUSE.split("[fields.form]")[0].replace('["tea", "coffee", "茶"]', '["tea", "coffee"]')
    (house / "task.toml").write_text(text + '[fields.form]\nkind = "label"\nlabels = ["bags", "pods"]\n', "utf-8")
    plan = '[[ask]]\nform = "FORM"\nfields = ["form"]\n[[ask]]\nform = "codes"\nfields = ["kind"]\n'
    (house / "rules.toml").write_text('[[implies]]\nif = { kind = "tea" }\nthen = { form = ["bags"] }\n', "utf-8")
    (house / "plan.toml").write_text(plan.replace("FORM", "codes"), "utf-8")
    for kind, form, withheld in ((0.9, 0.8, "form"), (0.7, 0.8, "kind")):
        masses = iter([{"A": 1 - form, "B": form}, {"A": kind, "B": 1 - kind}])

        tagging = Tagger(house, engine=ScriptedEngine(lambda _, masses=masses: next(masses))).tag({"title": "x"})  # type: ignore[misc]

        assert [name for name, tag in tagging.tags.items() if tag.abstained] == [withheld]
        assert tagging.conflicts[0].fields[0] == withheld
        assert tagging.outcome == "tagged"


def test_rules_that_contradict_each_other_withhold_the_field_and_are_both_named(house: Path) -> None:
    rules = SEALED + '[[implies]]\nif = { kind = "tea" }\nthen = { seal = "USDA" }\n'

    said = tagged(house, rules, {"organic": True, "seal": "EU"}, "EU")
    unsaid = tagged(house, rules, {"organic": True})

    assert said.tags["seal"].abstained
    assert said.conflicts[0].rules == unsaid.conflicts[0].rules == ("a seal", "implies.2")
    assert "contradict" in said.conflicts[0].reason
    assert "seal" not in unsaid.tags


def test_a_value_that_has_to_be_absent_is_withheld(house: Path) -> None:
    tagging = tagged(house, '[[implies]]\nif = { organic = false }\nabsent = ["seal", "traits"]\n',
                     {"traits": [], "organic": False, "seal": "EU"}, "EU")  # fmt: skip

    assert tagging.value("seal") is None
    assert tagging.value("traits") == []
    assert [one.fields for one in tagging.conflicts] == [("seal", "organic")]


def test_what_was_concluded_from_a_value_that_falls_falls_with_it(house: Path) -> None:
    """The seal follows from organic, which a surer rule then takes back."""
    rules = SEALED + '[[allowed]]\nif = { seal = "EU" }\nvalues = { organic = [false] }\n'

    tagging = tagged(house, rules, {"organic": True}, "EU")

    assert tagging.value("organic") is None
    assert tagging.value("seal") is None
    assert {one.fields[0] for one in tagging.conflicts} == {"organic", "seal"}


@pytest.mark.parametrize("form", ["jsonl", "csv", "parquet"])
def test_a_bulk_run_has_corrections_and_conflicts(house: Path, tmp_path: Path, form: Format) -> None:
    (house / "rules.toml").write_text(ALLOWED.replace("CONDITION", 'kind = "tea"') + SEALED, "utf-8")
    rows = tmp_path / "rows.jsonl"
    rows.write_text(json.dumps({"title": "x"}) + "\n", "utf-8")
    tagger = Tagger(house, engine=ScriptedEngine(lambda _: spelled({"form": "pods", "organic": True})))

    tag_file(tagger, rows, tmp_path / "tags", form=form)

    path = tmp_path / "tags" / f"tags-00000.{form}"
    if form == "jsonl":
        line = json.loads(path.read_text("utf-8"))
        made, conflicts = line["tags"]["seal"]["corrections"], line["conflicts"]
    else:
        row = (
            pq.read_table(path).to_pylist()[0]
            if form == "parquet"
            else next(csv.DictReader(path.open(encoding="utf-8-sig")))
        )
        made, conflicts = json.loads(row["corrections"])["seal"], json.loads(row["conflicts"])
    assert made == [{"rule": "a seal", "before": None, "after": "EU"}]
    assert [one["rules"] for one in conflicts] == [["allowed.1"]]


def test_a_frame_has_the_conflicts_of_a_task_with_rules(house: Path) -> None:
    engine = ScriptedEngine(lambda _: spelled({"form": "pods"}))
    bare = Tagger(house, engine=engine).tag(pd.DataFrame({"title": ["x"]}))
    (house / "rules.toml").write_text(ALLOWED.replace("CONDITION", 'kind = "tea"'), "utf-8")
    ruled = Tagger(house, engine=engine).tag(pd.DataFrame({"title": ["x"]}))

    assert "conflicts" not in bare.columns
    assert 'form is "bags" or "loose"' in ruled["conflicts"].iloc[0]


def test_personal_data_is_put_back_into_traces(house: Path) -> None:
    rules = '[synonyms.colours]\nrot = "red"\n[brands]\nbrand = "brands.txt"\n'
    (house / "brands.txt").write_text("Acme\n", "utf-8")
    task = load_task(house)
    hidden = masked(Record("1", {"title": "write to ann@example.com, rot", "type": ""}), task.columns)

    found = tagged(house, rules, {"brand": "[EMAIL_1]", "colours": ["rot"]}, hidden.record.values["title"])
    back = restored(found, hidden)

    assert back.value("brand") == "ann@example.com"
    assert back.conflicts[0].reason == 'not on the list: "ann@example.com"'
    (place,) = back.tags["colours"].evidences
    assert place is not None
    assert (place.start, place.text) == (26, "rot")


def test_a_corrected_answer_is_handed_to_no_other_record(house: Path) -> None:
    tagging = tagged(house, '[synonyms.brand]\nHP = "Hewlett-Packard"\n', {"brand": "HP"}, "HP Hewlett-Packard")

    assert inherited(tagging.answer(), load_task(house).fields, Record("2", {"title": "Hewlett-Packard"})) is None


def test_people_label_what_is_written_and_are_judged_by_what_is_said(house: Path) -> None:
    tagging = tagged(house, '[synonyms.brand]\nHP = "Hewlett-Packard"\n', {"brand": "HP"}, "HP mug")
    task, record = load_task(house), Record("1", {"title": "HP mug", "type": ""})
    example = Example(record, {"kind": "tea", "brand": "hp"})
    made = tagging.provenance
    head = Header(
        set=task.id, split="own", sample=None, seed=0, rows=1, plan_text={}, shots=0, versions={},
        rows_id=rows_id([record]), task=made.task, task_version=made.task_version, plan=made.plan, model=made.model,
        adapter=made.adapter, engine=made.engine,
    )  # fmt: skip

    found = {verdict.field: verdict.kind for verdict in judge(Run(head, [run_row(tagging)]), task, [example])}

    assert (found["kind"], found["brand"]) == ("right", "right")
