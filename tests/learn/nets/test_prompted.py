"""The prompt path: what the attention to the text does, and that it leaves the U-Net alone when empty."""

import pytest
import torch
from toy import toy_task

from parallax.learn.nets.acquisition_text import Sentences, TokenEncoder
from parallax.learn.nets.prompted import PromptedUNet, TextAttention, token_width
from parallax.learn.networks import UNet

WIDTHS, PATCH = (4, 8), (16, 16, 16)
EVERYWHERE = torch.zeros(3, 5, dtype=torch.bool)


@pytest.fixture
def attention():
    torch.manual_seed(0)
    return TextAttention(8, 6, 12)


@pytest.fixture
def net():
    torch.manual_seed(0)
    texts = Sentences.of(toy_task(2)).texts
    unet = UNet(2, 6, WIDTHS, heads=2)
    text = TokenEncoder(texts, token_width(WIDTHS))
    return PromptedUNet(unet, text, channels=2, masks=6, widths=WIDTHS, patch=PATCH).eval()


def test_one_text_token_is_read_as_it_is_by_every_query(attention):
    token = torch.randn(3, 1, 6)
    for query in (torch.randn(3, 12), torch.zeros(3, 12)):
        read = attention.read(query, token, torch.zeros(3, 1, dtype=torch.bool))
        torch.testing.assert_close(read, attention.value(token)[:, 0])


def test_what_identical_tokens_say_does_not_depend_on_the_query(attention):
    tokens = torch.randn(3, 1, 6).expand(-1, 5, -1)
    one, two = (attention.read(torch.randn(3, 12), tokens, EVERYWHERE) for _ in range(2))
    torch.testing.assert_close(one, two)
    different = torch.randn(3, 5, 6)
    one, two = (attention.read(torch.randn(3, 12), different, EVERYWHERE) for _ in range(2))
    assert not torch.allclose(one, two)


def test_the_order_of_tokens_does_not_count_and_hidden_ones_are_not_read(attention):
    query, tokens = torch.randn(3, 12), torch.randn(3, 5, 6)
    read = attention.read(query, tokens, EVERYWHERE)
    torch.testing.assert_close(attention.read(query, tokens[:, torch.randperm(5)], EVERYWHERE), read)
    longer = torch.cat((tokens, torch.randn(3, 2, 6)), dim=1)
    ends = torch.tensor([False] * 5 + [True] * 2).expand(3, -1)
    torch.testing.assert_close(attention.read(query, longer, ends), read)
    assert not torch.allclose(attention.read(query, longer, torch.zeros_like(ends)), read)


def test_the_attention_is_the_softmax_of_scaled_products(attention):
    query, tokens = torch.randn(3, 12), torch.randn(3, 5, 6)
    weights = (attention.key(tokens) @ query.unsqueeze(2) / 12**0.5).softmax(dim=1)
    torch.testing.assert_close(
        attention.read(query, tokens, EVERYWHERE), (weights * attention.value(tokens)).sum(dim=1)
    )


def test_without_the_path_or_with_masks_that_enter_at_0_the_answer_is_that_of_the_unet(net):
    image, sentence = torch.randn(2, 2, *PATCH), torch.tensor([3, 1])
    with torch.no_grad():
        plain = net.unet(image)
        assert torch.equal(net(image, sentence).logits, plain)  # as it is initialised
        torch.nn.init.normal_(net.enter.weight)
        assert torch.equal(net(image, sentence, prompted=False).logits, plain)
        assert not torch.equal(net(image, sentence).logits, plain)


def test_the_sentence_reaches_every_answer(net):
    image = torch.randn(2, 2, *PATCH)
    torch.nn.init.normal_(net.enter.weight)
    with torch.no_grad():
        one, other = (net(image, torch.tensor([n, n])) for n in (3, 1))
    assert not torch.equal(one.logits, other.logits)
    assert not torch.equal(one.outcome, other.outcome)
    assert not torch.equal(one.text, other.text)
    assert torch.equal(one.image, other.image)


def test_vectors_alone_are_those_of_the_whole_pass(net):
    image, sentence = torch.randn(2, 2, *PATCH), torch.tensor([3, 1])
    with torch.no_grad():
        answers, (seen, said) = net(image, sentence), net.look(image, sentence)
    assert torch.equal(answers.image, seen)
    assert torch.equal(answers.text, said)


def test_volumes_of_another_size_pass(net):
    torch.nn.init.normal_(net.enter.weight)
    torch.nn.init.normal_(net.path.positions.table)
    with torch.no_grad():
        answers = net(torch.randn(1, 2, 24, 16, 20), torch.tensor([3]))
    assert answers.logits.shape == (1, 6, 24, 16, 20)
    assert answers.outcome.shape == (1,)


def test_tokens_are_192_wide_beside_a_bottleneck_of_128():
    assert token_width((16, 32, 64, 128)) == 192
