"""The texts of one call: looked up, put into batches, asked for, remembered."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from threading import Lock
from typing import TYPE_CHECKING

from latent.cache.entry import Result
from latent.cache.hashing import stable_hash
from latent.cache.keys import RowKeys, key_of_parts
from latent.errors import ContextWindowError, ModelAnswerError, ModelRefusedError, TextTooLongError
from latent.llm.answer import Usage
from latent.llm.attempts import persistently, policy_for
from latent.llm.embedding import EmbeddingRequest, batches
from latent.llm.estimates import FEWEST
from latent.llm.io import AsyncIO, SyncIO, finished
from latent.llm.prices import cost_usd
from latent.llm.recorded import vectors_of
from latent.llm.remember import remember
from latent.llm.sending import admit
from latent.llm.tokens import rough_tokens, token_bound
from latent.prefect.cost_plan import Estimate
from latent.prefect.run import Run, current_run, surroundings
from latent.provider_errors.responses import answer_of

if TYPE_CHECKING:
    import numpy as np

    from latent.llm.io import IO

KIND = "embedding"
"""The kind of these entries in the store."""
VERSION = 1
"""Part of every key; changes when the same request would be sent or read otherwise."""


_TOO_MUCH = 413
"""The status of a request that is too large, whatever it is said with."""

Take = Callable[[Sequence[int], "np.ndarray"], None]


def _is_too_much(error: ModelRefusedError) -> bool:
    """Whether fewer or shorter texts at once may be answered."""
    if isinstance(error, ContextWindowError) or error.status == _TOO_MUCH:
        return True
    answer = answer_of(error)
    return answer is not None and answer.is_too_large


class Work:
    """One call of an embedder, from its texts to their vectors; its batches may be done in any threads."""

    def __init__(
        self,
        request: EmbeddingRequest,
        texts: Sequence[str],
        *,
        identity: str,
        batch_size: int,
        batch_tokens: int,
        remember: bool,
    ) -> None:
        self._request, self._identity = request, identity
        self._batch_size, self._batch_tokens, self._remembers = batch_size, batch_tokens, remember
        self._run: Run = current_run() or surroundings(None)
        self._positions: dict[str, int] = {}
        """Each different text, by its place among those."""
        self._order = [self._positions.setdefault(text, len(self._positions)) for text in texts]
        self._texts = list(self._positions)
        self._keys, self._parts = self._made_keys()
        self._vectors: dict[int, np.ndarray] = {}
        self._length: int | None = None
        """Of all vectors; None before the first."""
        self._measuring = Lock()
        self._too_long: dict[int, ModelRefusedError] = {}
        """What was said of texts that are longer than the model reads."""

    def batches(self) -> list[list[int]]:
        """The texts that are not remembered, in the batches in which they are asked for."""
        self._recall(range(len(self._texts)))
        missing = [index for index in range(len(self._texts)) if index not in self._vectors]
        if missing and self._run.cost_plan is not None:
            raise self._run.cost_plan.refuse(self._estimate(missing))
        sizes = [token_bound(self._texts[index]) for index in missing]
        spans = batches(sizes, self._batch_size, self._batch_tokens)
        return [[missing[place] for place in span] for span in spans]

    def address(self, base_url: str) -> None:
        """Where requests go, when that was not known before."""
        self._request = replace(self._request, endpoint=replace(self._request.endpoint, base_url=base_url))

    def do(self, batch: Sequence[int]) -> None:
        """Ask for a batch, and remember it; blocks its thread."""
        finished(self._do(batch, SyncIO()))

    async def do_async(self, batch: Sequence[int]) -> None:
        """As `do`, without blocking the event loop."""
        await self._do(batch, AsyncIO())

    def each(self) -> list[np.ndarray | TextTooLongError]:
        """The vector of each text, in their order, or why it has none."""
        count = len(self._order)
        return [
            TextTooLongError.of(error, (place,), count)
            if (error := self._too_long.get(index)) is not None
            else self._vectors[index]
            for place, index in enumerate(self._order)
        ]

    def vectors(self, dimensions: int | None) -> np.ndarray:
        """
        float32, shape (texts, dimensions): those of all texts, in their order.

        Raises:
            TextTooLongError: Some have none; the others are remembered.
        """
        import numpy as np

        if self._too_long:
            places = tuple(place for place, index in enumerate(self._order) if index in self._too_long)
            error = self._too_long[self._order[places[0]]]
            raise TextTooLongError.of(error, places, len(self._order)) from error
        if not self._order:
            return np.empty((0, dimensions or 0), dtype=np.float32)
        return np.stack([self._vectors[index] for index in self._order])

    def _made_keys(self) -> tuple[list[str], list[dict[str, str]]]:
        shared = {"embedder": stable_hash(self._identity), "version": stable_hash(VERSION)}
        keys = RowKeys(self._request.endpoint.spec, ("text",), shared)
        made = [keys.key((text,)) for text in self._texts] if self._remembers else []
        return [key for key, _ in made], [parts for _, parts in made]

    def _recall(self, indices: Sequence[int]) -> None:
        if not self._remembers:
            return
        by_key = {self._keys[index]: index for index in indices}
        hits = self._run.memory.recall_many(by_key, code=None, parameter=self._run.parameter_fingerprint)
        self._measure(hit.value for hit in hits.values())
        for key, hit in hits.items():
            self._vectors[by_key[key]] = hit.value

    def _measure(self, vectors: Iterable[np.ndarray]) -> None:
        """
        Note the length of vectors that were remembered or have come.

        Raises:
            ModelAnswerError: They have another than those before them, and no table has room for both.
        """
        with self._measuring:
            for vector in vectors:
                known, length = self._length, len(vector)
                if known is not None and length != known:
                    raise self._mismatch(known, length)
                self._length = length

    def _mismatch(self, known: int, length: int) -> ModelAnswerError:
        endpoint = self._request.endpoint
        reason = (
            f"its vectors are of different lengths: some have {known} numbers, others {length}, so that they "
            "cannot be compared. The model behind this name is another than before, or not always the same"
        )
        if self._remembers:
            forgets = f"`latent cache clear --task {shlex.quote(endpoint.spec)}`"
            reason += f": {forgets} forgets what is remembered of it, so that all texts are asked for again"
        return ModelAnswerError(endpoint.spec, endpoint.place, f"{reason}.")

    async def _do(self, batch: Sequence[int], io: IO) -> None:
        if not self._remembers:
            await self._ask_in_parts(batch, io, self._take)
            return
        key = key_of_parts("embeddings", {str(place): self._keys[index] for place, index in enumerate(batch)})
        with await io.acquire_lease(self._run.memory, key):
            # The former holder may have finished in between.
            self._recall(batch)
            missing = [index for index in batch if index not in self._vectors]
            if missing:
                await self._ask_in_parts(missing, io, self._keep)

    async def _ask_in_parts(self, indices: Sequence[int], io: IO, take: Take) -> None:
        """
        Ask for vectors, in halves where that is too much at once, until what is too long stands alone.

        Nothing is paid for a request that is too large, and the others of a batch are not to be lost for one.
        """
        try:
            vectors = await self._asked(indices, io)
        except ModelRefusedError as error:
            if not _is_too_much(error):
                raise
            if len(indices) == 1:
                self._too_long[indices[0]] = error
                return
        else:
            take(indices, vectors)
            return
        middle = len(indices) // 2
        for part in (indices[:middle], indices[middle:]):
            await self._ask_in_parts(part, io, take)

    def _take(self, indices: Sequence[int], vectors: np.ndarray) -> None:
        self._measure(vectors)
        self._vectors |= zip(indices, vectors, strict=True)

    def _keep(self, indices: Sequence[int], vectors: np.ndarray) -> None:
        # Before they are remembered: vectors that do not fit would stay.
        self._measure(vectors)
        spec = self._request.endpoint.spec
        results = (
            Result(
                key=self._keys[index],
                value=vector,
                task=spec,
                kind=KIND,
                code=None,
                parameters_read={},
                key_parts=self._parts[index],
                expires_in=None,
                outputs={},
            )
            for index, vector in zip(indices, vectors, strict=True)
        )
        remember(self._run, spec, results)
        self._vectors |= zip(indices, vectors, strict=True)

    async def _asked(self, batch: Sequence[int], io: IO) -> np.ndarray:
        """The vectors of a batch, by the first attempt that has them."""
        texts = [self._texts[index] for index in batch]
        keys = [self._keys[index] for index in batch] if self._remembers else []
        admit(self._run, self._request.endpoint.spec)

        async def attempt(failed: int) -> np.ndarray:
            return await vectors_of(self._request, texts, keys, io)

        return await persistently(attempt, io, policy_for(None, self._run.workspace.settings))

    def _estimate(self, missing: Sequence[int]) -> Estimate:
        texts = [self._texts[index] for index in missing]
        sizes = [token_bound(text) for text in texts]
        few, many = round(rough_tokens(*texts) * FEWEST), sum(sizes)
        endpoint = self._request.endpoint
        costs = [cost_usd(endpoint.provider, endpoint.model, Usage(input_tokens=n)) for n in (few, many)]
        return Estimate(
            service=endpoint.spec,
            calls=len(batches(sizes, self._batch_size, self._batch_tokens)),
            limit=self._request.limit,
            input_tokens=(few, many),
            cost_usd=None if costs[0] is None else (costs[0], costs[1]),
            sample=texts[0],
        )
