"""Office documents, books, mails and notebooks: read by docling-rs, in a process of its own."""
