"""
Rows: one task over many items.

How a row travels::

    columns    the arguments of each row, from iterables, frames and tables
    plan       the keys of all rows at once; hits are read in one go, the others become jobs
    units      jobs become Prefect task runs: one each while they are few, else batches
    lanes      inside a batch, rows run concurrently: in threads, or on one event loop
    life       one row from its claim over its attempts to its end; lanes act, this decides
    committer  what rows return is remembered in groups; only then a row counts as finished
    table      what became of each row; futures and records read it
    stream     the same for sources that are larger than memory
"""
