"""The frozen backbone: its int8 form, and the token states that it gives."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

GROUP = 32  # int8 values along the input dimension that share one scale
INT8_MAX = 127
MAX_TOKENS = 512
BATCH_TOKENS = 16_384
KEPT_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True, slots=True)
class TokenStates:
    """Last hidden states of all texts, stored in a row.

    Attributes:
        states: The states of one text after another, [tokens, 384].
        ids: The token ids, [tokens].
        offsets: Text n owns rows offsets[n] to offsets[n + 1], [N + 1].
    """

    states: NDArray[np.float16]
    ids: NDArray[np.int64]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        """Count the texts."""
        return len(self.offsets) - 1

    def rows(self, text: int) -> slice:
        """Say where the tokens of a text stand."""
        return slice(int(self.offsets[text]), int(self.offsets[text + 1]))

    def take(self, chosen: Sequence[int]) -> "TokenStates":
        """Copy some texts."""
        rows = [self.rows(text) for text in chosen]
        lengths = [row.stop - row.start for row in rows]
        return TokenStates(
            np.concatenate([self.states[row] for row in rows]),
            np.concatenate([self.ids[row] for row in rows]),
            np.cumsum([0, *lengths]),
        )

    def save(self, path: Path) -> None:
        """Write the arrays for `TokenStates(**numpy.load(path))`."""
        path.parent.mkdir(parents=True, exist_ok=True)
        np.savez(path, states=self.states, ids=self.ids, offsets=self.offsets)


def quantise(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Turn each matrix into int8 groups of 32 with a float16 scale, and the rest into float16."""
    stored: dict[str, torch.Tensor] = {}
    for name, weight in weights.items():
        if weight.ndim != 2:
            stored[name] = weight.to(torch.float16)
            continue
        groups = weight.float().reshape(len(weight), -1, GROUP)  # [R, C] -> [R, C / 32, 32]
        scale = (groups.abs().amax(dim=2) / INT8_MAX).to(torch.float16)  # -> [R, C / 32]
        values = groups / scale.float().clamp(min=torch.finfo(torch.float16).tiny)[..., None]
        rounded = values.round().clamp(-INT8_MAX, INT8_MAX).to(torch.int8)
        stored[name] = rounded.flatten(1).contiguous()
        stored[f"{name}.scale"] = scale
    return stored


def dequantise(stored: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Turn what `quantise` stores back into float32."""
    weights: dict[str, torch.Tensor] = {}
    for name, value in stored.items():
        if name.endswith(".scale"):
            continue
        weights[name] = value.float()
        if value.dtype == torch.int8:
            scale = stored[f"{name}.scale"].float()
            groups = value.float().reshape(len(value), -1, GROUP)
            weights[name] = (groups * scale[..., None]).flatten(1)
    return weights


def write_backbone(source: Path, target: Path) -> None:
    """Write the int8 weights, the configuration and the tokenizer of a BERT folder."""
    target.mkdir(parents=True, exist_ok=True)
    write_tensors(quantise(load_file(source / "model.safetensors")), target / "model.safetensors")
    for name in KEPT_FILES:
        settings = json.loads((source / name).read_text(encoding="utf-8"))
        indent = None if name == "tokenizer.json" else 2
        text = json.dumps(settings, ensure_ascii=False, indent=indent)
        (target / name).write_text(text + "\n", encoding="utf-8")


def write_tensors(tensors: dict[str, torch.Tensor], path: Path) -> None:
    """Write a safetensors file that everybody may read."""
    save_file(tensors, path, metadata={"format": "pt"})
    path.chmod(0o644)


class Backbone:
    """Turns texts into the token states of the shipped int8 weights."""

    def __init__(self, folder: Path) -> None:
        config = BertConfig.from_pretrained(folder)
        self.model = BertModel(config, add_pooling_layer=False)
        self.model.train(mode=False)
        weights = dequantise(load_file(folder / "model.safetensors"))
        self.model.load_state_dict(weights, strict=True)
        self.model.bfloat16()  # 8 times the speed of float32 where a CPU has AMX
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)

    def tokenize(self, texts: list[str]) -> list[list[int]]:
        """Turn texts into token ids between [CLS] and [SEP], cut at 512."""
        encoded = self.tokenizer(texts, truncation=True, max_length=MAX_TOKENS)
        ids: list[list[int]] = encoded["input_ids"]
        return ids

    def encode(self, ids: list[list[int]]) -> TokenStates:
        """Run tokenised texts through the model in batches of like length."""
        offsets = np.zeros(len(ids) + 1, dtype=np.int64)
        np.cumsum([len(text) for text in ids], out=offsets[1:])
        states = np.empty((int(offsets[-1]), self.model.config.hidden_size), dtype=np.float16)
        for batch in _batches([len(text) for text in ids]):
            hidden = self._forward([ids[text] for text in batch])
            for row, text in zip(hidden, batch, strict=True):
                states[offsets[text] : offsets[text + 1]] = row[: len(ids[text])]
        flat = np.fromiter((token for text in ids for token in text), dtype=np.int64)
        return TokenStates(states, flat, offsets)

    @torch.inference_mode()
    def _forward(self, ids: list[list[int]]) -> NDArray[np.float16]:
        width = max(map(len, ids))
        tokens = torch.tensor([text + [0] * (width - len(text)) for text in ids])  # [N, width]
        lengths = torch.tensor([len(text) for text in ids])
        mask = torch.arange(width)[None, :] < lengths[:, None]  # [N, width]
        hidden = self.model(input_ids=tokens, attention_mask=mask.long()).last_hidden_state
        states: NDArray[np.float16] = hidden.to(torch.float16).numpy()
        return states


def _batches(lengths: list[int]) -> list[list[int]]:
    """Group texts of like length, so that little is padded."""
    batches: list[list[int]] = [[]]
    for text in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if batches[-1] and (len(batches[-1]) + 1) * lengths[batches[-1][0]] > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(text)
    return batches
