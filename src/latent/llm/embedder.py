"""`Embedder`: texts as vectors, each text paid for once."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from functools import partial
from typing import TYPE_CHECKING, Any

from latent.errors import ModelSpecError
from latent.limits.permit import held_permit
from latent.llm.embedding import EmbeddingRequest, checked_texts
from latent.llm.endpoints import LOCAL, check_seconds, endpoint_of
from latent.llm.headers import identity_of
from latent.llm.local import wordllama
from latent.llm.local.weights import fingerprint_of, gguf_of
from latent.registry import TaskRegistry

if TYPE_CHECKING:
    import numpy as np

    from latent.errors import TextTooLongError
    from latent.llm.embedding_batches import Work

BATCHES_AT_ONCE = 8
"""Batches of one call that are under way together, as far as the limit lets them."""
_KNOWN_DIMENSIONS = {
    "text-embedding-3-small": 1536,
    "text-embedding-3-large": 3072,
    "text-embedding-ada-002": 1536,
}
"""Source: https://platform.openai.com/docs/guides/embeddings"""


class Embedder:
    """
    What turns texts into vectors, with everything that the vectors depend on.

    Vectors are remembered for ever, each text by itself, by provider, address, model and dimensions: whatever
    batch an unchanged text is in, it is not paid for again. Those of `local:wordllama` are computed again,
    which is quicker than looking them up.
    """

    def __init__(
        self,
        spec: str,
        *,
        dimensions: int | None = None,
        base_url: str | None = None,
        api_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        limit: str | None = None,
        batch_size: int = 100,
        batch_tokens: int = 100_000,
        timeout_seconds: float = 120.0,
        remember: bool = True,
    ) -> None:
        """
        Args:
            spec: `openai:text-embedding-3-small`; `local:wordllama`; `local:PATH` of a GGUF file; or with a
                `base_url` any name for a provider that speaks OpenAI's API.
            dimensions: Shorter vectors, where the model can; None: as long as the model makes them.
            base_url: Where the API is, say `http://localhost:11434/v1`.
            api_key: Instead of the environment variable.
            headers: Further headers of each request: `{"api-key": ...}` for Azure, or what a gateway goes by.
            limit: Name of a `[limits.NAME]` section of the settings that each request takes part in.
            batch_size: The most texts of one request.
            batch_tokens: The most tokens of one request, by a rough count; OpenAI takes 300,000.
            timeout_seconds: How long one request may take.
            remember: Whether vectors are remembered.

        Raises:
            ModelSpecError: There is no such provider, it makes no embeddings, or a parameter cannot be used.
        """
        self.endpoint = endpoint_of(spec, base_url=base_url, api_key=api_key, headers=headers)
        self.base_url, self.limit, self.remember = base_url, limit, remember
        self.batch_size, self.batch_tokens = batch_size, batch_tokens
        self.timeout_seconds = timeout_seconds
        self._is_static = self.spec == wordllama.SPEC and base_url is None
        if not self._is_static:
            TaskRegistry.note_service()
        self._check(dimensions)
        self._wanted = dimensions
        self._dimensions = wordllama.checked_dimensions(dimensions) if self._is_static else dimensions

    @property
    def spec(self) -> str:
        """`provider:name`."""
        return self.endpoint.spec

    @property
    def dimensions(self) -> int | None:
        """The length of the vectors; None while it is not known, before the first answer."""
        known = _KNOWN_DIMENSIONS.get(self.endpoint.model) if self.endpoint.is_usual else None
        return self._dimensions or known

    @property
    def identity(self) -> str:
        """What the vectors depend on: vectors of equal identity can be compared with one another."""
        if self._is_static:
            return wordllama.identity(self._dimensions or 0)
        cut = "" if self._wanted is None else f" dimensions={self._wanted}"
        if self.endpoint.provider == LOCAL and self.base_url is None:
            return f"{self.spec} {fingerprint_of(gguf_of(self.spec))}{cut}"
        place = "" if self.endpoint.is_usual else f" at {self.endpoint.identity}"
        by = "".join(f" {name}={value}" for name, value in identity_of(self.endpoint.own_headers).items())
        return f"{self.spec}{place}{cut}{by}"

    def __latent_hash__(self) -> Any:
        # So that a task which is given an embedder is remembered as long as its vectors are the same.
        return ("latent.llm.embedder", self.identity)

    def __repr__(self) -> str:
        return f"Embedder({self.identity!r})"

    def embed(self, texts: Sequence[str]) -> np.ndarray:
        """
        The vectors of texts: float32, shape (texts, dimensions), in their order.

        Raises:
            EmptyTextError: A text holds only blanks.
            BrokenTextError: A text holds a lone surrogate.
            TextTooLongError: A text is longer than the model reads; the others are remembered.
            ModelCallError: There is no answer; its subclasses say why. What was answered is remembered.
            MissingKeyError: The provider wants a key, and none is set.
            UsageError: It is called inside of an async row, which it would stop.
        """
        listed = checked_texts(self.spec, texts)
        if self._is_static:
            return wordllama.embed(listed, self._dimensions or 0)
        return self._noted(self._done(listed).vectors(self._wanted or self.dimensions))

    def embed_each(self, texts: Sequence[str]) -> list[np.ndarray | TextTooLongError]:
        """As `embed`, but a text that is too long has its error in the place of a vector."""
        listed = checked_texts(self.spec, texts)
        if self._is_static:
            return list(wordllama.embed(listed, self._dimensions or 0))
        return self._done(listed).each()

    def _done(self, texts: list[str]) -> Work:
        """The work on texts, once it is done; blocks its thread."""
        from latent.llm.transport import check_may_block

        check_may_block()
        work = self._work(texts)
        if batches := work.batches():
            self._reach(work)
            jobs = [partial(copy_context().run, work.do, batch) for batch in batches]
            _run_together(jobs, self._at_once)
        return work

    async def embed_async(self, texts: Sequence[str]) -> np.ndarray:
        """As `embed`, without blocking the event loop."""
        listed = checked_texts(self.spec, texts)
        if self._is_static:
            return await asyncio.to_thread(wordllama.embed, listed, self._dimensions or 0)
        work = self._work(listed)
        if batches := work.batches():
            await asyncio.to_thread(self._reach, work)
            await _await_together([partial(work.do_async, batch) for batch in batches], self._at_once)
        return self._noted(work.vectors(self._wanted or self.dimensions))

    @property
    def _at_once(self) -> int:
        """One batch after the other where a row holds the limit: they go on the one slot that it has."""
        return 1 if self.limit is not None and held_permit(self.limit) is not None else BATCHES_AT_ONCE

    def _work(self, texts: list[str]) -> Work:
        from latent.llm.embedding_batches import Work

        request = EmbeddingRequest(
            endpoint=self.endpoint,
            dimensions=self._wanted,
            limit=self.limit,
            timeout_seconds=self.timeout_seconds,
        )
        return Work(
            request,
            texts,
            identity=self.identity,
            batch_size=self.batch_size,
            batch_tokens=self.batch_tokens,
            remember=self.remember,
        )

    def _reach(self, work: Work) -> None:
        """Start the server of a local model, now that something is to be asked."""
        if self.endpoint.provider == LOCAL and self.base_url is None:
            from latent.llm.local.server import base_url_of

            work.address(base_url_of(self.spec, embeddings=True))

    def _noted(self, vectors: np.ndarray) -> np.ndarray:
        if len(vectors):
            self._dimensions = int(vectors.shape[1])
        return vectors

    def _check(self, dimensions: int | None) -> None:
        given = {"dimensions": dimensions, "batch_size": self.batch_size, "batch_tokens": self.batch_tokens}
        for name, value in given.items():
            if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 1):
                raise ModelSpecError(self.spec, f"{name}={value!r}: it is a number, at least 1.")
        check_seconds(self.spec, "timeout_seconds", self.timeout_seconds)
        if self.endpoint.dialect != "openai":
            raise ModelSpecError(
                self.spec,
                f"{self.endpoint.provider} makes no embeddings: take 'openai:text-embedding-3-small', "
                f"{wordllama.SPEC!r}, or another by base_url=.",
            )
        if self.endpoint.provider == LOCAL and self.base_url is None and not self._is_static:
            gguf_of(self.spec)


def _run_together(jobs: Sequence[Callable[[], None]], at_once: int) -> None:
    """Do jobs in a few threads; the first error ends those that have not begun."""
    if at_once == 1 or len(jobs) == 1:
        for job in jobs:
            job()
        return
    with ThreadPoolExecutor(min(at_once, len(jobs)), "latent-embed") as pool:
        futures = [pool.submit(job) for job in jobs]
        try:
            for future in futures:
                future.result()
        except BaseException:
            # What is under way is paid for, and will be remembered; nothing new begins.
            pool.shutdown(wait=False, cancel_futures=True)
            raise


async def _await_together(jobs: Sequence[Callable[[], Coroutine[Any, Any, None]]], at_once: int) -> None:
    """As `_run_together`, for coroutines."""
    slots = asyncio.Semaphore(at_once)
    errors: list[BaseException] = []

    async def do(job: Callable[[], Coroutine[Any, Any, None]]) -> None:
        async with slots:
            if errors:
                return
            try:
                await job()
            except BaseException as error:
                errors.append(error)
                raise

    await asyncio.gather(*map(do, jobs), return_exceptions=True)
    if errors:
        raise errors[0]
