"""The backbone: its int8 form, and the token states below and above the layers that are trained."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

GROUP = 32  # int8 values along the input dimension that share one scale
INT8_MAX = 127
FROZEN_LAYERS = 8  # of 12
BATCH_TOKENS = 6_144
KEPT_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


@dataclass(frozen=True, slots=True)
class TokenStates:
    """What the frozen layers give for some texts, one text after another.

    Attributes:
        lower: States above the frozen layers, bfloat16, [tokens, 384].
        upper: States above all layers of the published backbone, bfloat16, [tokens, 384].
        ids: The token ids, [tokens].
        offsets: Text n owns rows offsets[n] to offsets[n + 1], [N + 1].
    """

    lower: torch.Tensor
    upper: torch.Tensor
    ids: torch.Tensor
    offsets: torch.Tensor

    def __len__(self) -> int:
        """Count the texts."""
        return len(self.offsets) - 1

    def rows(self, text: int) -> slice:
        """Say where the tokens of a text stand."""
        return slice(int(self.offsets[text]), int(self.offsets[text + 1]))

    def length(self, text: int) -> int:
        """Count the tokens of a text."""
        return int(self.offsets[text + 1] - self.offsets[text])

    def dense(self) -> torch.Tensor:
        """Pool each text as the backbone does: the mean of its states at unit length, [N, 384]."""
        means = [self.upper[self.rows(text)].float().mean(dim=0) for text in range(len(self))]
        return torch.nn.functional.normalize(torch.stack(means), dim=1)


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


def write_settings(source: Path, target: Path) -> None:
    """Write the configuration and the tokenizer of a BERT folder."""
    target.mkdir(parents=True, exist_ok=True)
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
    """Turns texts into the token states of the int8 weights."""

    def __init__(self, folder: Path) -> None:
        """Read a BERT folder and round its weights as they will be stored."""
        self.model = BertModel(BertConfig.from_pretrained(folder), add_pooling_layer=False)
        self.model.train(mode=False)
        self.weights = dequantise(quantise(load_file(folder / "model.safetensors")))
        self.model.load_state_dict(self.weights, strict=True)
        self.model.bfloat16()  # 8 times the speed of float32 where a CPU has AMX
        self.tokenizer = PreTrainedTokenizerFast.from_pretrained(folder)

    def encode(self, texts: Sequence[str], *, tokens: int) -> TokenStates:
        """Run texts through the model in batches of like length.

        Args:
            texts: The texts.
            tokens: How many tokens of each are read, [CLS] and [SEP] included.
        """
        ids = self.tokenizer(list(texts), truncation=True, max_length=tokens)["input_ids"]
        lengths = torch.tensor([len(text) for text in ids])
        offsets = torch.cat([torch.zeros(1, dtype=torch.int64), lengths.cumsum(0)])
        width = self.model.config.hidden_size
        lower = torch.empty((int(offsets[-1]), width), dtype=torch.bfloat16)
        states = TokenStates(
            lower, torch.empty_like(lower), torch.tensor([i for text in ids for i in text]), offsets
        )
        for batch in _batches(lengths.tolist()):
            below, above = self._forward([ids[text] for text in batch])
            for row, text in enumerate(batch):
                size = states.length(text)
                states.lower[states.rows(text)] = below[row, :size]
                states.upper[states.rows(text)] = above[row, :size]
        return states

    def exact(self) -> BertModel:
        """Make another copy of the model with the int8 weights in float32."""
        model = BertModel(self.model.config, add_pooling_layer=False)
        model.load_state_dict(self.weights, strict=True)
        model.train(mode=False)
        return model

    @torch.inference_mode()
    def _forward(self, ids: list[list[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        width = max(map(len, ids))
        tokens = torch.tensor([text + [0] * (width - len(text)) for text in ids])  # [N, width]
        lengths = torch.tensor([len(text) for text in ids])
        mask = torch.arange(width)[None, :] < lengths[:, None]  # [N, width]
        found = self.model(input_ids=tokens, attention_mask=mask.long(), output_hidden_states=True)
        return found.hidden_states[FROZEN_LAYERS], found.last_hidden_state


def _batches(lengths: list[int]) -> list[list[int]]:
    """Group texts of like length, so that little is padded."""
    batches: list[list[int]] = [[]]
    for text in sorted(range(len(lengths)), key=lengths.__getitem__, reverse=True):
        if batches[-1] and (len(batches[-1]) + 1) * lengths[batches[-1][0]] > BATCH_TOKENS:
            batches.append([])
        batches[-1].append(text)
    return batches
