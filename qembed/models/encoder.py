"""One encoder around SentenceTransformer: prompts by role, truncation counted, float32 out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from qembed.errors import UsageError
from qembed.models.device import device_name
from qembed.models.features import PROBES, Features, layout_of, on_device
from qembed.models.files import Prompts, Role, prompts_of, unused_prompts
from qembed.models.fitting import max_tokens_of
from qembed.models.info import EncoderInfo, attention_of
from qembed.models.kinds import require_embedder
from qembed.models.loading import LARGE_PARAMETERS, EncoderOptions, Loaded, explained_failures, load_model
from qembed.models.probe import probe_of
from qembed.models.resolve import ModelSource, fetch, resolve_model
from qembed.models.tokens import TokenCounter, TokenIds, load_tokenizer, reader_with
from qembed.models.weights import config_sha256, weights_sha256
from qembed.records import Lengths, Vectors

_DEFAULTS = EncoderOptions()


class Pending:
    """Vectors of one forward pass, which a GPU may still be working on."""

    def __init__(self, vectors: Any, done: Any = None) -> None:
        self._vectors = vectors
        self._done = done

    @classmethod
    def of(cls, vectors: Any) -> Pending:
        """What a device is about to compute; the copy to the host begins behind it.

        Args:
            vectors: float32 tensor (texts, dimension).
        """
        import torch

        if not vectors.is_cuda:
            return cls(vectors.cpu().contiguous())
        host = torch.empty(vectors.shape, dtype=torch.float32, pin_memory=True)
        host.copy_(vectors, non_blocking=True)
        done = torch.cuda.Event()  # type: ignore[no-untyped-call]
        done.record(torch.cuda.current_stream(vectors.device))
        return cls(host, done)

    def result(self) -> Vectors:
        """float32 (texts, dimension); waits for this pass alone.

        Raises:
            torch.OutOfMemoryError: The batch does not fit (or another error that ``is_out_of_memory`` knows).
        """
        if self._done is not None:
            self._done.synchronize()
        vectors: Vectors = self._vectors.numpy()
        return vectors


class Encoder:
    """Texts in, float32 vectors out. One forward pass a call: how texts are batched is the engine's work.

    Attributes:
        info: What was loaded.
        reads_tokens: Whether ``submit`` may be used: ids from ``load_tokenizer(model).encode`` gave exactly
            the features that the model makes of texts itself. Otherwise ``submit_texts``.
    """

    def __init__(self, model: Any, info: EncoderInfo, counter: TokenCounter) -> None:
        self._model = model
        self.info: EncoderInfo = info
        self._prompts = Prompts(info.query_prompt, info.document_prompt)
        self._layout = layout_of(model, counter, info.max_tokens, info.document_prompt)
        self.reads_tokens = self._layout is not None
        tokenizer = model.tokenizer
        if not self.reads_tokens and hasattr(tokenizer, "all_special_ids"):
            counter = TokenCounter(reader_with(tokenizer), info.max_tokens, info.document_prompt)
        self._counter = counter

    @classmethod
    def load(cls, model: str | ModelSource, options: EncoderOptions = _DEFAULTS) -> Encoder:
        """Load a model; nothing is downloaded but safetensors, no code runs but the libraries'.

        Raises:
            ModelUnreachable: It is neither here nor on the hub.
            UsageError: Pickled weights, untrusted code, or an option that the model cannot serve.
            QembedError: Its files are damaged, or the libraries do not know its architecture.
        """
        source = model if isinstance(model, ModelSource) else resolve_model(model, revision=options.revision)
        source = fetch(source)
        require_embedder(source)
        loaded = load_model(source, options)
        counter = load_tokenizer(source, max_tokens=options.max_length)
        with explained_failures(source):
            encoder = cls(loaded.model, _describe(loaded, source, options), counter)
            if options.kernels == "auto" and loaded.device == "cpu":
                encoder._accelerate(options.precision)
            encoder.info = replace(encoder.info, probe=probe_of(encoder.encode))
        return encoder

    def count(self, texts: Sequence[str], role: Role = "document") -> Lengths:
        """Tokens of each text before truncation, special tokens and prompt included; int64 (texts,)."""
        return self._counter.count(texts, self._prompts.of(role))

    def encode(self, texts: Sequence[str], role: Role = "document") -> Vectors:
        """One forward pass over all ``texts``; float32 (texts, dimension).

        Raises:
            torch.OutOfMemoryError: The batch does not fit (or another error that ``is_out_of_memory`` knows).
        """
        if not texts:
            return np.empty((0, self.info.dimension), dtype=np.float32)
        return self.submit_texts(texts, role).result()

    def submit(self, ids: Sequence[TokenIds]) -> Pending:
        """Start one forward pass over documents as ``TokenCounter.encode`` gives them, at least one.

        On a GPU this returns while it works. Only where ``reads_tokens``.

        Raises:
            torch.OutOfMemoryError: The batch does not fit (or another error that ``is_out_of_memory`` knows).
        """
        assert self._layout is not None, "reads_tokens is False"
        return self._forward(self._layout.features(ids, self._model.device), "document")

    def submit_texts(self, texts: Sequence[str], role: Role = "document") -> Pending:
        """Start one forward pass over at least one text; the model's own tokenizer reads them.

        Raises:
            torch.OutOfMemoryError: The batch does not fit (or another error that ``is_out_of_memory`` knows).
        """
        return self._forward(self._features(texts, role), role)

    def _features(self, texts: Sequence[str], role: Role) -> Features:
        features = self._model.preprocess(list(texts), prompt=self._prompts.of(role) or None, task=role)
        return on_device(features, self._model.device)

    def _accelerate(self, asked: str) -> None:
        from qembed.models.cpu.accelerate import accelerated

        large = sum(parameter.numel() for parameter in self._model.parameters()) > LARGE_PARAMETERS
        self.info = accelerated(self._model, self.info, asked, lambda: self._probe_vectors(few=large))

    def _probe_vectors(self, *, few: bool) -> Vectors:
        """Vectors of varied texts in both roles, with padding and without."""
        texts = PROBES[:2] if few else [*PROBES, " ".join(PROBES)]
        roles: tuple[Role, ...] = ("document", "query")
        batches = [texts, texts[:1]]
        return np.concatenate([self.encode(batch, role) for role in roles for batch in batches])

    def _forward(self, features: Features, role: Role) -> Pending:
        import torch

        with torch.inference_mode():
            made = self._model(features, task=role)
            vectors = made["sentence_embedding"].float()[:, : self.info.dimension]
            if self.info.normalized:
                # After cutting: the first dimensions of a unit vector are shorter than 1.
                vectors = torch.nn.functional.normalize(vectors, p=2, dim=1)
            return Pending.of(vectors)


def _describe(loaded: Loaded, source: ModelSource, options: EncoderOptions) -> EncoderInfo:
    model = loaded.model
    published = model.truncate_dim  # ``get_embedding_dimension`` would count it in
    model.truncate_dim = None
    full = model.get_embedding_dimension()
    if full is None:
        full = int(model.encode_document(["?"]).shape[1])
    dimension = options.truncate_dim or published or full
    if not 1 <= dimension <= full:
        raise UsageError(f"--truncate-dim {dimension} does not fit: the model has {full} dimensions")
    prompts = prompts_of(source)
    similarity, normalized = _similarity(model, source, options)
    return describe(
        loaded,
        source,
        dimension=dimension,
        full_dimension=full,
        normalized=normalized,
        similarity=similarity,
        pooling=options.pooling,
        query_prompt=prompts.query if options.query_prompt is None else options.query_prompt,
        document_prompt=prompts.document if options.document_prompt is None else options.document_prompt,
        differences=(
            *loaded.notes,
            *_differences(model, source, prompts, full, options),
            *(() if options.document_prompt is not None else unused_prompts(source)),
        ),
    )


def _similarity(model: Any, source: ModelSource, options: EncoderOptions) -> tuple[str, bool]:
    """By which two vectors compare, and whether they have length 1.

    Raises:
        UsageError: The model is made for a distance that no index of qembed measures.
    """
    published = str(getattr(model, "similarity_fn_name", None) or "cosine")
    by_model = any(type(module).__name__ == "Normalize" for module in model)
    normalized = by_model or (published == "cosine" if options.normalize is None else options.normalize)
    if normalized and published != "manhattan":
        return "cosine", True  # on vectors of length 1 these similarities give the same order
    if published in ("cosine", "dot"):
        return published, False
    raise UsageError(
        f"{source.id} compares vectors by their {published} distance, which no index of qembed measures",
        remedy="--normalize: vectors of length 1 have the same order by the cosine"
        if published == "euclidean"
        else "choose a model for the cosine or the dot product: qembed models lists some",
    )


def describe(loaded: Loaded, source: ModelSource, **known: Any) -> EncoderInfo:
    """What was loaded, as far as the files and the device say it; ``known`` is the rest of the fields."""
    assert source.path is not None
    model = loaded.model
    return EncoderInfo(
        name=source.name if source.kind != "local" else source.id,
        id=source.id,
        revision=source.revision,
        weights_sha256=weights_sha256(source.path),
        config_sha256=config_sha256(source.path),
        dtype=loaded.dtype,
        device=str(model.device),
        device_name=device_name(str(model.device)),
        max_tokens=max_tokens_of(model),
        attention=attention_of(model),
        weights_note=source.card.weights_note if source.card and source.kind == "packaged" else "",
        **known,
    )


def _differences(
    model: Any, source: ModelSource, prompts: Prompts, dimension: int, options: EncoderOptions
) -> tuple[str, ...]:
    card = source.card
    if card is None:
        return ()
    pairs = [
        ("dimensions", card.dimensions, dimension),
        ("query prompt", card.query_prompt, prompts.query),
        ("document prompt", card.document_prompt, prompts.document),
        ("parameters", card.parameters, sum(parameter.numel() for parameter in model.parameters())),
    ]
    if options.precision == "nf4":
        pairs.pop()  # two parameters lie in one byte
    if options.max_length is None:
        pairs.append(("max tokens", card.max_tokens, max_tokens_of(model)))
    found = [
        f"{name}: the catalog says {said!r}, the model {is_!r}" for name, said, is_ in pairs if said != is_
    ]
    cut = options.truncate_dim
    if cut and cut != dimension and cut not in card.matryoshka:
        found.append(
            f"truncate_dim {cut}: the model was not trained for it (Matryoshka: {list(card.matryoshka)})"
        )
    return tuple(found)
