"""
Rows: one task over many items.

How a row travels, by the modules that it passes::

    map        `.map`: from arguments to pieces of work, for the flow's task runner
    columns    the arguments of each row, from iterables, frames and tables
    plan       the keys of all rows at once; hits are read in one go, the others become jobs
    feeder     pieces begin one after another, each once what it waits for is there
    batches    many rows in one Prefect task run, in this process or in another
    turns      a row that may kill its worker is begun while no other row is with one
    executors  inside a batch, rows run concurrently: in threads, or on one event loop
    life       one row from its claim over its attempts to its end; executors act, this decides
    work       what is done for a row on the way: claim, look up, admit, call, retry
    committer  what rows return is remembered in groups; only then a row counts as finished
    map_run    the map where it was called: records, account, reasons to stop
    ends       what became of each row; `futures` and records read it
    stream     the same for `sources` that are larger than memory
"""
