"""Models that run in this process: static embeddings, and llama.cpp on GGUF files. Nothing is downloaded."""
