"""An OWLv2 of a few thousand random weights, saved as any checkpoint."""

from pathlib import Path

import torch
import transformers
from transformers.models.owlv2.image_processing_pil_owlv2 import Owlv2ImageProcessorPil


def save_tiny_detector(folder: Path) -> Path:
    """Write the checkpoint to ``folder`` and return it."""
    letters = sorted(set("abcdefghijklmnopqrstuvwxyz"))
    words = ["!", *letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    tokenizer = transformers.CLIPTokenizer(
        vocab={word: number for number, word in enumerate(words)}, merges=[], pad_token="!", model_max_length=32
    )
    text = {
        "vocab_size": len(words), "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2,
        "num_attention_heads": 2, "max_position_embeddings": 32, "pad_token_id": 0, "bos_token_id": 53,
        "eos_token_id": 54,
    }  # fmt: skip
    vision = {
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2,
        "image_size": 32, "patch_size": 8,
    }  # fmt: skip
    torch.manual_seed(0)
    config = transformers.Owlv2Config(text_config=text, vision_config=vision, projection_dim=16)
    transformers.Owlv2ForObjectDetection(config).save_pretrained(folder)
    images = Owlv2ImageProcessorPil(size={"height": 32, "width": 32})
    transformers.Owlv2Processor(images, tokenizer).save_pretrained(folder)
    return folder
