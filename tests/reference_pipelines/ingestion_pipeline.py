# ruff: noqa
# fmt: off
"""
The reference's first pipeline, "Document Ingestion for RAG", line by line as it stands there.

Repaired where it cannot work: its chunk loop never ended on the last chunk, since `start = end - overlap` goes back.
Only the last two lines, which start it, were added.
"""
import asyncio
from pathlib import Path
from typing import Optional
import hashlib
import json
from prefect import flow, task, get_run_logger
from prefect.tasks import task_input_hash
from prefect.concurrency.sync import concurrency
from datetime import timedelta
from openai import OpenAI
from pinecone import Pinecone, ServerlessSpec
from anthropic import Anthropic

oai = OpenAI()
pc = Pinecone()
claude = Anthropic()


@task(
    retries=3,
    retry_delay_seconds=[10, 30, 60], # Exponential-ish backoff
    cache_key_fn=task_input_hash,
    cache_expiration=timedelta(hours=24)
)
def load_document(file_path: str) -> dict:
    """Load and hash a document. Cached to avoid re-reading."""
    logger = get_run_logger()
    path = Path(file_path)
    text = path.read_text()
    doc_hash = hashlib.md5(text.encode()).hexdigest()
    logger.info(f"Loaded {path.name} ({len(text)} chars, hash={doc_hash[:8]})")
    return {"path": str(path), "text": text, "hash": doc_hash, "name": path.name}


@task(
    retries=3,
    retry_delay_seconds=[5, 15, 30],
    cache_key_fn=task_input_hash,
    cache_expiration=timedelta(days=7)
)
def chunk_document(doc: dict, chunk_size: int = 512, overlap: int = 64) -> list[dict]:
    """Split document into overlapping chunks."""
    text = doc["text"]
    chunks = []
    start = 0
    chunk_idx = 0
    while start < len(text):
        end = min(start + chunk_size, len(text))
        # Avoid splitting mid-sentence
        if end < len(text):
            last_period = text.rfind(".", start, end)
            if last_period > start + chunk_size // 2:
                end = last_period + 1
        chunk_text = text[start:end].strip()
        if chunk_text:
            chunks.append({
                "text": chunk_text,
                "source": doc["name"],
                "chunk_index": chunk_idx,
                "id": f"{doc['hash']}:{chunk_idx}"
            })
            chunk_idx += 1
        if end == len(text):  # repaired
            break
        start = end - overlap
    return chunks


@task(
    retries=5,
    retry_delay_seconds=[2, 5, 10, 30, 60]
)
def embed_chunks(chunks: list[dict]) -> list[dict]:
    """Embed chunks using OpenAI. Rate-limited via Prefect concurrency."""
    logger = get_run_logger()
    # Use Prefect concurrency to limit parallel embedding calls
    with concurrency("openai-embeddings", occupy=1):
        texts = [c["text"] for c in chunks]
        response = oai.embeddings.create(
            model="text-embedding-3-small",
            input=texts
        )
        embeddings = [item.embedding for item in response.data]
        logger.info(f"Embedded {len(chunks)} chunks")
        for chunk, embedding in zip(chunks, embeddings):
            chunk["embedding"] = embedding
        return chunks


@task(retries=3, retry_delay_seconds=[5, 15, 30])
def upsert_to_pinecone(chunks: list[dict], index_name: str) -> int:
    """Upsert embedded chunks to Pinecone."""
    logger = get_run_logger()
    index = pc.Index(index_name)
    vectors = [
        {
            "id": chunk["id"],
            "values": chunk["embedding"],
            "metadata": {
                "text": chunk["text"],
                "source": chunk["source"],
                "chunk_index": chunk["chunk_index"]
            }
        }
        for chunk in chunks
    ]
    # Upsert in batches
    batch_size = 100
    upserted = 0
    for i in range(0, len(vectors), batch_size):
        batch = vectors[i:i + batch_size]
        index.upsert(vectors=batch)
        upserted += len(batch)
    logger.info(f"Upserted {upserted} vectors to {index_name}")
    return upserted


@flow(name="document-ingestion", log_prints=True)
def ingest_documents(
    file_paths: list[str],
    index_name: str,
    chunk_size: int = 512
):
    """Main ingestion flow — processes documents in parallel."""
    docs = [load_document(fp) for fp in file_paths]
    # Process all docs concurrently
    all_chunks = []
    chunk_futures = [
        chunk_document.submit(doc, chunk_size=chunk_size)
        for doc in docs
    ]
    for future in chunk_futures:
        all_chunks.extend(future.result())
    print(f"Total chunks: {len(all_chunks)}")
    # Embed in batches of 100 (concurrently, limited by Prefect concurrency)
    batch_size = 100
    embed_futures = []
    for i in range(0, len(all_chunks), batch_size):
        batch = all_chunks[i:i + batch_size]
        embed_futures.append(embed_chunks.submit(batch))
    embedded = []
    for future in embed_futures:
        embedded.extend(future.result())
    # Upsert to Pinecone
    total_upserted = upsert_to_pinecone(embedded, index_name)
    print(f"Ingestion complete: {total_upserted} vectors stored")
    return total_upserted


if __name__ == "__main__":
    import sys; print("RESULT", ingest_documents(sys.argv[1:], "reference-docs"))
