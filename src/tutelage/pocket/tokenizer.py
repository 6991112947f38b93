"""The tokenizer shared by all pocket checkpoints: its vocabulary is written down, not learnt.

A text is cut at spaces, digits and marks, and each stretch into as few known pieces as possible; single bytes stand in
for the rest, so nothing is ever unknown and decoding gives back every text exactly:

    "Torvel has 12 beads."  ->  " Tor" "vel" " has" " 1" "2" " beads" "."

The first word gets a space in front, as every other word has one, so a name looks the same everywhere.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tutelage.pocket.words import COMMON, ENDINGS, FIRST_NAMES, HEADS, MARKS, OPENERS, TAILS

if TYPE_CHECKING:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

PAD, EOS, UNK = "<pad>", "</s>", "<unk>"
STRETCH = r"'(?:s|t|re|ve|m|ll|d)| ?\p{N}| ?\p{L}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
"""GPT-2's way to cut a text, except that a digit always stands alone."""
PIECE_COST, BYTE_COST = 10.0, 14.0
"""Fewest pieces win; among equally few, those with fewer single bytes."""


def pieces() -> list[str]:
    """Every known piece longer than one byte, in a fixed order and without repeats."""
    spaced = [*COMMON, *OPENERS, *FIRST_NAMES, *HEADS, *"0123456789", *"ABCDEF", *map(chr, range(97, 123))]
    return list(dict.fromkeys([*(f" {word}" for word in spaced), *TAILS, *ENDINGS, *MARKS]))


def build(*, ends: bool) -> Tokenizer:
    """The tokenizer; with `ends` it closes each text with the end mark, as encoder-decoder models expect."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors

    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    cut = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(STRETCH), "isolated"), byte_level])
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    known = [byte_level.pre_tokenize_str(piece)[0][0] for piece in pieces()]
    vocab = [(mark, 0.0) for mark in (PAD, EOS, UNK)]
    vocab += [(byte, -BYTE_COST) for byte in alphabet]
    vocab += [(piece, -PIECE_COST) for piece in known if piece not in set(alphabet)]
    tokenizer = Tokenizer(models.Unigram(vocab, unk_id=2, byte_fallback=False))
    tokenizer.normalizer = normalizers.Prepend(" ")
    tokenizer.pre_tokenizer = cut
    tokenizer.decoder = decoders.Sequence([decoders.ByteLevel(), decoders.Strip(" ", 1, 0)])
    tokenizer.add_special_tokens([AddedToken(mark, special=True, normalized=False) for mark in (PAD, EOS, UNK)])
    if ends:
        tokenizer.post_processor = processors.TemplateProcessing(
            single=f"$A {EOS}", pair=f"$A {EOS} $B {EOS}", special_tokens=[(EOS, 1)]
        )
    return tokenizer


def fast(*, ends: bool) -> PreTrainedTokenizerFast:
    """`build` as a Hugging Face tokenizer."""
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=build(ends=ends),
        pad_token=PAD,
        eos_token=EOS,
        unk_token=UNK,
        clean_up_tokenization_spaces=False,
        padding_side="right" if ends else "left",
        model_max_length=512,
    )
