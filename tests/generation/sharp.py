"""Networks whose random weights are sharpened, so that they prefer one token to another."""

from __future__ import annotations

from pathlib import Path

import torch

from numeric import in_double
from tutelage.models import LanguageModel, LoraSettings, load


def sharp(kind: str, t5: Path, gpt: Path) -> LanguageModel:
    """A network in double precision: "t5" or "gpt", also "with adapters" that are set, or a bundled model as it is."""
    name, _, adapters = kind.partition(" with ")
    folder = {"t5": t5, "gpt": gpt}.get(name)
    lm = load(folder or name, dtype=torch.float64, device="cpu", lora=LoraSettings(rank=2) if adapters else None)
    in_double(lm.model)
    if folder:
        source = torch.Generator().manual_seed(0)
        with torch.no_grad():
            for place, parameter in lm.model.named_parameters():
                if "lora_B" in place:
                    parameter.normal_(std=0.5, generator=source)
                elif parameter.ndim > 1:
                    parameter.mul_(3.0)
    return lm
