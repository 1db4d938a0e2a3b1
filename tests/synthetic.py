"""Checkpoints of random weights for tests: small, deterministic, and with logits that differ from text to
text."""

import json
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
from transformers import MobileBertConfig, MobileBertForSequenceClassification

SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
# Whole words of the vocabulary; all others are spelled.
WORDS = (
    "the a and of to is in it that this was as with for film movie but on are not you have be he his "
    "one at by an they from all like so just or about has out who what her some good bad more when very "
    "if would no really their there my up which only she even had time story see can great well much "
    "other get than into do most how people don did made them make way also any could think character "
    "plot scene love best acting actor never little life end "
)


def write_checkpoint(
    folder: Path, *, layers: int = 2, labels: int = 2, seed: int = 0, **options: Any
) -> Path:
    """Write config.json, model.safetensors and tokenizer.json of a random MobileBERT into `folder`.

    A tokenizer.json that is there already is kept; `options` are further fields of MobileBertConfig.
    """
    if not (folder / "tokenizer.json").exists():
        write_tokenizer(folder)
    vocabulary = Tokenizer.from_file(str(folder / "tokenizer.json")).get_vocab()
    torch.manual_seed(seed)
    names = dict(enumerate(["negative", "positive", "neutral", "mixed"][:labels]))
    config = MobileBertConfig(
        vocab_size=len(vocabulary),
        num_hidden_layers=layers,
        id2label=names,
        label2id={name: number for number, name in names.items()},
        classifier_dropout=0.0,
        **options,
    )
    model = MobileBertForSequenceClassification(config).eval()
    _spread_weights(model)
    model.save_pretrained(folder)
    return folder


def write_tokenizer(folder: Path) -> None:
    """A WordPiece tokenizer in BERT's manner: some whole words, and every ASCII character to spell the
    others."""
    characters = [chr(code) for code in range(33, 127) if not chr(code).isupper()]
    tokens = [*SPECIAL, *characters, *(f"##{each}" for each in characters if each.isalnum()), *WORDS.split()]
    vocabulary = {token: number for number, token in enumerate(dict.fromkeys(tokens))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.add_special_tokens(list(SPECIAL))
    tokenizer.normalizer = normalizers.BertNormalizer(lowercase=True)
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.post_processor = processors.BertProcessing(
        ("[SEP]", vocabulary["[SEP]"]), ("[CLS]", vocabulary["[CLS]"])
    )
    folder.mkdir(parents=True, exist_ok=True)
    tokenizer.save(str(folder / "tokenizer.json"))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "BertTokenizerFast"}))


def _spread_weights(model: torch.nn.Module) -> None:
    """Scale by fan-in, so that neither the signal nor the differences between texts die on the way."""
    with torch.no_grad():
        for name, module in model.named_modules():
            if isinstance(module, torch.nn.Embedding):
                module.weight.normal_()
            elif isinstance(module, torch.nn.Linear):
                gain = 2.0 if "attention" in name and "bottleneck" not in name else 1.0
                module.weight.normal_(0, gain * module.in_features**-0.5)
                module.bias.normal_(0, 0.05)
            elif type(module).__name__ == "NoNorm":
                module.weight.uniform_(0.6, 0.9)
                module.bias.normal_(0, 0.05)
        model.classifier.weight.mul_(2)
