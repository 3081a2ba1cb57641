"""Loading a catalog, and data from disk, calls nobody."""


def test_no_network_call_and_no_telemetry(make_catalog, run_python):
    make_catalog(
        """
        csv: data/x.csv
        rows: data/x.jsonl
        docs: data/docs/*.md
        remote: s3://bucket/x.csv
        memory: {type: MemoryDataset}
        "{any}_notes": data/{any}.md
        """,
        {"data/x.csv": "a\n1\n", "data/x.jsonl": "1\n", "data/docs/a.md": "A", "data/b.md": "B"},
    )
    printed = run_python(
        """
        import sys

        calls = []

        def refuse(event, arguments):
            if event in ("socket.connect", "socket.getaddrinfo", "socket.gethostbyname", "socket.sendto"):
                calls.append((event, arguments))
                raise OSError(f"network call: {event} {arguments}")

        sys.addaudithook(refuse)
        from latent.catalog import Catalog
        from latent.config import find_workspace

        workspace = find_workspace()
        catalog = Catalog.load(workspace, flow_name="answers", folder=workspace.flow_folder("answers"))
        for name in ("csv", "rows", "docs", "b_notes"):
            catalog.load_data(name), catalog.describe(name)
        catalog.save("csv", catalog.load_data("csv"))
        print(calls, [name for name in sys.modules if "telemetry" in name and "opentelemetry" not in name])
        """
    )
    assert printed == "[] []"
