"""Sentences about the acquisition: closed, without labels; the trainable encoder of their words."""

import pytest
import torch
from toy import toy_task

from parallax.learn.nets.acquisition_text import FrozenTokens, Sentences, TokenEncoder, phrase_number, words

TASK = toy_task(2)
SUBSETS = torch.tensor([[True, True], [True, False], [False, True]])


def test_a_sentence_lists_what_is_present_and_the_nominal_spacing():
    said = Sentences.of(TASK)
    assert [said.texts[i] for i in said.number(SUBSETS)] == [
        "CT and MR, slice 2 mm, in plane 2 by 2 mm, modalities: M0, M1",
        "CT, slice 2 mm, in plane 2 by 2 mm, modalities: M0",
        "MR, slice 2 mm, in plane 2 by 2 mm, modalities: M1",
    ]
    assert len(said.texts) == len(set(said.texts)) == 4


def test_phrases_about_the_label_exist_in_the_ablation_alone_and_default_to_unknown():
    said = Sentences.of(TASK, about_label=True)
    assert not any("lesion" in text for text in Sentences.of(TASK).texts)
    unknown = said.texts[said.number(SUBSETS)[0]]
    assert unknown.endswith("modalities: M0, M1, lesion volume unknown, side unknown")
    number = said.number(SUBSETS, torch.tensor([phrase_number(31.0, -0.5), 0, 0]))
    assert said.texts[number[0]].endswith("M0, M1, lesion volume 30 ml, left")
    assert said.texts[number[1]].endswith("modalities: M0, lesion volume unknown, side unknown")


@pytest.mark.parametrize(
    ("volume_ml", "side", "phrase"), [(0.01, -1.0, "1 ml, left"), (60.0, 0.05, "100 ml, middle")]
)
def test_the_nearest_volume_of_the_list_is_said(volume_ml, side, phrase):
    said = Sentences.of(TASK, about_label=True)
    assert said.texts[phrase_number(volume_ml, side)].endswith(phrase)


def test_words():
    assert words("CT, slice 1.5 mm") == ["ct", ",", "slice", "1.5", "mm"]


def test_every_sentence_has_tokens_of_its_own_and_short_ones_end_early():
    torch.manual_seed(0)
    said = Sentences.of(TASK)
    encoder = TokenEncoder(said.texts, 6).eval()
    tokens, hidden = encoder(said.number(SUBSETS))
    lengths = [len(words(said.texts[i])) for i in said.number(SUBSETS)]
    assert (~hidden).sum(dim=1).tolist() == lengths
    assert tokens.shape == (3, hidden.shape[1], 6)
    assert not torch.allclose(tokens[1, : lengths[1]], tokens[2, : lengths[2]])


def test_the_order_of_words_does_not_count():
    torch.manual_seed(0)
    encoder = TokenEncoder(["a b c d", "d b a c"], 6).eval()
    tokens, _ = encoder(torch.tensor([0, 1]))
    torch.testing.assert_close(tokens[0], tokens[1][[2, 1, 3, 0]])


def test_frozen_tokens_are_looked_up_and_not_trained():
    made, ends = torch.randn(4, 5, 7), torch.zeros(4, 5, dtype=torch.bool)
    frozen = FrozenTokens(made, ends)
    tokens, hidden = frozen(torch.tensor([3, 0]))
    assert torch.equal(tokens, made[[3, 0]])
    assert not hidden.any()
    assert list(frozen.parameters()) == []
    assert set(frozen.state_dict()) == {"tokens", "hidden"}
