"""A tokenizer made in memory: bytes, three special tokens and a plain chat template."""

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}<|end|>{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
SPECIAL = ("<|context_end|>", "<|end|>", "<|user|>", "<|assistant|>", "<|system|>")


def tiny_tokenizer() -> PreTrainedTokenizerFast:
    """One token a byte; the end token is `<|end|>`."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    vocabulary = {token: index for index, token in enumerate([*SPECIAL, *alphabet])}
    core = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(
        tokenizer_object=core, eos_token="<|end|>", unk_token="<|context_end|>", chat_template=TEMPLATE,
        additional_special_tokens=list(SPECIAL[2:]),
    )  # fmt: skip
