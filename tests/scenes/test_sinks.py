"""The loss that makes an attention sink: what it measures, and that following it gives one."""

import torch
from transformers import LlavaForConditionalGeneration

from farsight_scenes.network import build_model, build_tokenizer
from farsight_scenes.plan import Sizes
from farsight_scenes.sinks import VALUE_WEIGHT, first_values, sink_loss

SIZES = Sizes(
    vision_width=16,
    vision_layers=1,
    vision_heads=1,
    language_width=24,
    language_layers=3,
    language_heads=2,
    vocabulary=400,
)


def attend(model: LlavaForConditionalGeneration, ids: torch.Tensor) -> tuple[tuple[torch.Tensor, ...], torch.Tensor]:
    """Weights of all layers, and the loss for a share of 0.75."""
    embeddings = model.get_input_embeddings()(ids)
    with first_values(model) as values:
        out = model.model.language_model(inputs_embeds=embeddings, use_cache=False, output_attentions=True)
    return out.attentions, sink_loss(out.attentions, values, 0.75)


def test_the_loss_is_the_squared_lack_of_attention_from_the_second_layer_on() -> None:
    wanted = torch.zeros(3, 2, 4, 5, 5)
    wanted[..., 0] = 1.0
    wanted[2, ..., 0] = 0.25
    wanted[0, ..., 0] = 0.0  # the first layer is free
    values = [torch.full((2, 6), 2.0), torch.zeros(2, 6)]
    expected = (0.0 + 0.5**2) / 2 + VALUE_WEIGHT * (4.0 + 0.0) / 2
    assert abs(float(sink_loss(list(wanted), values, 0.75)) - expected) < 1e-6


def test_following_the_loss_gives_a_sink_with_small_values() -> None:
    torch.manual_seed(0)
    model = build_model(build_tokenizer(SIZES, scenes=20), SIZES)
    model.set_attn_implementation("eager")
    ids = torch.randint(5, 300, (4, 20))
    ids[:, 0] = 1
    adam = torch.optim.Adam(model.model.language_model.parameters(), 3e-3)
    before, first = attend(model, ids)
    for _ in range(60):
        adam.zero_grad()
        _, loss = attend(model, ids)
        loss.backward()
        adam.step()
    after, last = attend(model, ids)
    assert float(last) < 0.1 * float(first)
    for layer in (1, 2):
        assert before[layer][:, :, 1:, 0].mean() < 0.4
        assert after[layer][:, :, 1:, 0].mean() > 0.6
    assert all(not layer.self_attn.v_proj._forward_hooks for layer in model.model.language_model.layers)
