"""Every verdict on simulated runs whose truth was planted, and the file of claims itself."""

import csv
import math
import re

import pandas as pd
import pytest
import simulated
from pydantic import ValidationError
from tidy import skipped_row

from parallax.claims.claim import Claim, read_claims
from parallax.claims.tables import claims_table
from parallax.claims.verdicts import judge
from parallax.errors import ConfigError
from parallax.plugin import plugin_root
from parallax.report.write import TableInputs, build, write_all
from parallax.score.table import to_frame, write_parquet
from parallax.tables.layout import Context

CONTEXT = Context({"b": "Bee (re-implementation)"})


def claim(**changes):
    plain = {"id": "x", "sentence": "A beats B.", "source": "nobody", "kind": "difference"}
    return Claim.model_validate(plain | {"method": "a", "reference": ["b"]} | changes)


def at(level="aligned", shift_mm=0.0, fraction=1.0, **dice):
    """Truth of one condition by method; `b_released` is preset `released` of b."""
    return {(name.replace("_", ":"), level, shift_mm, fraction): value for name, value in dice.items()}


def verdict_of(truth, wanted=None, **how):
    (found,) = judge([wanted or claim()], simulated.scores(truth, **how), CONTEXT)
    return found


@pytest.mark.parametrize(
    ("dice", "how", "verdict", "reason"),
    [
        ((0.84, 0.80), {}, "supported", ""),
        ((0.76, 0.80), {}, "contradicted", ""),
        ((0.80, 0.80), {}, "undecided", "the interval includes zero"),
        ((0.84, 0.80), {"cases": 5}, "undecided", "5 cases; 6 are the least that can decide"),
        ((0.84, 0.80), {"seeds": (0,)}, "undecided", "one seed: it holds for these trained networks"),
        ((0.76, 0.80), {"seeds": (0,)}, "undecided", "one seed: it holds for these trained networks"),
    ],
)
def test_a_difference_is_judged_by_cases_and_seeds(dice, how, verdict, reason):
    found = verdict_of(at(a=dice[0], b=dice[1]), **how)
    assert (found.verdict, found.reason) == (verdict, reason)
    assert bool(found.more) == (verdict == "undecided")


def test_what_one_seed_leans_to_is_kept():
    found = verdict_of(at(a=0.84, b=0.80), seeds=(3,))
    assert (found.parts[0].leans, found.more) == ("supported", "a second seed or more")


def test_seeds_that_disagree_decide_nothing():
    frame = simulated.scores(at(a=0.82, b=0.80), cases=40, sd_run=0.0)
    frame.loc[(frame["method"] == "a") & (frame["seed"] == 1), "value"] -= 0.015
    frame.loc[(frame["method"] == "a") & (frame["seed"] == 0), "value"] += 0.015
    (found,) = judge([claim()], frame, CONTEXT)
    assert (found.verdict, found.more) == ("undecided", "more seeds or label draws")
    assert found.parts[0].leans == "supported"


def test_trainings_without_a_case_in_common_decide_nothing():
    frame = simulated.scores(at(a=0.84, b=0.80), seeds=(0, 1))
    late = frame["case"] >= "case06"
    kept = frame[(frame["seed"] == 1) == late]
    (found,) = judge([claim()], kept, CONTEXT)
    assert (found.verdict, found.parts[0].cases) == ("undecided", 12)
    assert found.reason == "no two cases that every training has"


def test_methods_alike_but_for_their_training_are_rarely_told_apart():
    wrong = [
        verdict_of(at(a=0.8, b=0.8), cases=8, sd_run=0.02, seed=seed).verdict != "undecided"
        for seed in range(15)
    ]
    assert sum(wrong) <= 4  # more than 4 of 15 have a probability of 0.001 at a rate of 0.05


def test_more_cases_are_asked_for_in_proportion():
    found = verdict_of(at(a=0.804, b=0.80), cases=10, sd_run=0.0, seed=4)
    part = found.parts[0]
    factor = ((part.high - part.low) / 2 / part.difference) ** 2
    assert found.more == f"about {math.ceil(10 * factor)} cases at this difference"


def test_less_loss_under_shift_is_a_difference_of_differences():
    truth = at(a=0.80, b=0.85) | at("s1", 5.0, a=0.79, b=0.80) | at("s2", 9.0, a=0.78, b=0.75)
    found = verdict_of(truth, claim(kind="loss"))
    assert found.verdict == "supported"
    assert found.parts[0].difference == pytest.approx((0.04 + 0.08) / 2, abs=0.01)
    assert found.parts[0].conditions == "100 % aligned, 100 % s1, 100 % s2"
    assert set(found.evidence["misalignment"]) == {"aligned", "s1", "s2"}
    assert verdict_of(truth, claim(kind="loss", method="b", reference=["a"])).verdict == "contradicted"
    alone = verdict_of(at(a=0.80, b=0.85), claim(kind="loss"))
    assert (alone.verdict, alone.reason) == (
        "not tested",
        "no condition with 0 to 100 % labels, aligned and shifted, has cases of both",
    )


def test_equivalence_has_three_ends():
    same = claim(kind="equivalence", margin=0.01)
    calm = {"cases": 20, "sd_run": 0.0005, "sd_rest": 0.004}
    assert verdict_of(at(a=0.8, b=0.8), same, **calm).verdict == "supported"
    assert verdict_of(at(a=0.84, b=0.8), same, **calm).verdict == "contradicted"
    assert verdict_of(at(a=0.81, b=0.8), same, **calm).verdict == "undecided"
    assert (
        verdict_of(at(a=0.8, b=0.8), same, sd_rest=0.05).reason == "the interval reaches beyond 1 Dice point"
    )


def test_exact_equality_needs_no_second_seed():
    frame = simulated.scores(at(a=0.8), seeds=(0,))
    both = pd.concat([frame, frame.assign(method="b")], ignore_index=True)
    (found,) = judge([claim(kind="equivalence", margin=0.01)], both, CONTEXT)
    assert (found.verdict, found.reason) == (
        "supported",
        "equal to the last digit in every case and run",
    )


def test_not_worse_is_decided_by_every_reference():
    wanted = claim(kind="not_worse", reference=["b", "c"], margin=0.02)
    truth = at(a=0.8, b=0.79, c=0.8)
    calm = {"sd_run": 0.0005}
    assert verdict_of(truth, wanted, **calm).verdict == "supported"
    assert verdict_of(truth | at(c=0.86), wanted, **calm).verdict == "contradicted"
    assert verdict_of(truth | at(c=0.82), wanted, **calm).verdict == "undecided"
    lost = verdict_of(at(a=0.8, b=0.79), wanted, **calm)
    assert (lost.verdict, lost.reason) == ("supported", "c did not run")


def test_each_modality_must_hold():
    wanted = claim(modality="each")
    found = verdict_of(at(a={"CT": 0.85, "MR": 0.8}, b=0.8), wanted)
    assert {part.modality: part.verdict for part in found.parts} == {"CT": "supported", "MR": "undecided"}
    assert found.verdict == "undecided"


def test_datasets_that_disagree_leave_it_open():
    frames = [
        simulated.scores(at(a=dice, b=0.8)).assign(dataset=name)
        for name, dice in (("up", 0.84), ("down", 0.76))
    ]
    (found,) = judge([claim()], pd.concat(frames), CONTEXT)
    assert (found.verdict, found.reason) == (
        "undecided",
        "the datasets disagree: supported on up, contradicted on down",
    )
    (named,) = judge([claim(datasets=["u*"])], pd.concat(frames), CONTEXT)
    assert named.verdict == "supported"
    (unranked,) = judge([claim(datasets=["up"])], pd.concat(frames), Context({}, unranked=frozenset({"up"})))
    assert (unranked.verdict, unranked.reason) == ("not tested", "its datasets are not ranked by the run")
    (nowhere,) = judge([claim(datasets=["left"])], pd.concat(frames), CONTEXT)
    assert nowhere.reason == "the run has no dataset for it"


def test_methods_that_did_not_run_say_why():
    assert verdict_of(at(a=0.8)).reason == "b did not run"
    few = claim(where={"labels": [0.0, 0.2]})
    assert (
        verdict_of(at(a=0.8, b=0.7), few).reason
        == "a did not run with 0 to 20 % labels; b did not run with 0 to 20 % labels"
    )
    rows = [skipped_row("b", "needs pairs")]
    frame = pd.concat([simulated.scores(at(a=0.8)), to_frame(rows)])
    (found,) = judge([claim()], frame, CONTEXT)
    assert (found.verdict, found.reason) == ("not tested", "b: needs pairs")


def test_presets_and_label_fractions_are_told_apart():
    truth = at(a=0.8, b=0.9, b_released=0.7) | at(fraction=0.1, a=0.8, b_released=0.9)
    wanted = claim(reference=["b:released"], where={"labels": [1.0, 1.0]})
    assert verdict_of(truth, wanted).parts[0].difference == pytest.approx(0.1, abs=0.01)


def test_evidence_holds_every_value_behind_the_difference():
    found = verdict_of(at(a=0.84, b=0.80), draws=(0, 1))
    wide = found.evidence.pivot_table("value", ["case", "label_draw", "seed"], "method")
    assert len(found.evidence) == 12 * 2 * 3 * 2
    assert (wide["a"] - wide["b"]).mean() == pytest.approx(found.parts[0].difference)


def test_the_table_reads_as_sentences():
    wanted = claim(reference=["b", "c"], note="A note.")
    found = verdict_of(at(a=0.84, b=0.8, c=0.79), wanted, seeds=(0,))
    table = claims_table([found], CONTEXT)
    (row,) = table.rows
    assert row[0] == "1. A beats B."
    assert row[1] == "undecided (leans to supported) at 12 cases and 1 seed"
    assert row[2].startswith("toy against Bee +")
    assert row[3] == "one seed: it holds for these trained networks. Needs a second seed or more"
    assert table.notes[-1] == "Claim 1: A note."


def test_verdicts_are_written_with_their_evidence(tmp_path):
    write_parquet(simulated.scores(at(cmc=0.84, supervised=0.8, fraction=0.1)), tmp_path / "scores.parquet")
    made = build(TableInputs(tmp_path / "scores.parquet", claims=plugin_root() / "claims.yaml"))
    write_all(made, tmp_path)
    text = (tmp_path / "claims.md").read_text(encoding="utf-8")
    assert "supported at 12 cases and 3 seeds" in text
    assert text.count("| not tested |") == len(made.verdicts) - 1
    shares = re.findall(r"p\{([\d.]+)\\linewidth\}", (tmp_path / "claims.tex").read_text(encoding="utf-8"))
    assert len(shares) == 5
    assert sum(map(float, shares)) < 1
    with (tmp_path / "claims.csv").open(encoding="utf-8") as stream:
        parts = {row["claim"]: row for row in csv.DictReader(stream)}
    assert (parts["cmc-unlabelled"]["overall"], parts["cmc-unlabelled"]["cases"]) == ("supported", "12")
    with (tmp_path / "claims_evidence.csv").open(encoding="utf-8") as stream:
        assert len(list(csv.DictReader(stream))) == 12 * 3 * 2


def test_the_claims_of_the_project_can_be_read():
    claims = read_claims(plugin_root() / "claims.yaml")
    assert {one.kind for one in claims} == {"difference", "loss", "equivalence", "not_worse"}
    assert len({one.id for one in claims}) == len(claims) >= 7
    assert all(one.source for one in claims)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("claims: [{id: x, sentence: s}]", "claims.0.source"),
        ("claims: [{id: x, colour: red}]", "claims.0"),
        ("claims: [", "no YAML"),
        ("- x", "cannot be read: the file"),
    ],
)
def test_mistakes_in_the_file_name_their_key(tmp_path, text, message):
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=message):
        read_claims(path)


def test_unknown_methods_and_keys_are_refused(tmp_path):
    plain = "{id: x, sentence: s, source: s, kind: difference, method: mkdd, reference: [supervised]}"
    path = tmp_path / "claims.yaml"
    path.write_text(f"claims: [{plain}]")
    with pytest.raises(ConfigError, match=r"no method 'mkdd'.*claim x.*did you mean 'mkd'"):
        read_claims(path)
    path.write_text(f"claims: [{plain.replace('mkdd', 'cmc')}, {plain.replace('mkdd', 'cmc')}]")
    with pytest.raises(ConfigError, match="each id once"):
        read_claims(path)
    for wrong in ({"colour": "red"}, {"margin": 0.1}, {"kind": "equivalence"}, {"metric": "hd95_mm"}):
        with pytest.raises(ValidationError):
            claim(**wrong)
    with pytest.raises(ValidationError, match=r"leave where.misalignment out"):
        claim(kind="loss", where={"misalignment": "shifted"})
