"""What the room shows, and what it costs to look at it."""

import time

import latent.catalog
from latent.catalog import Catalog


def test_public_names_are_those_that_can_be_imported():
    names = [getattr(latent.catalog, name) for name in latent.catalog.__all__]
    assert [value.__name__ for value in names] == latent.catalog.__all__


def test_unknown_name_is_an_attribute_error():
    assert not hasattr(latent.catalog, "Catalogue")


def test_loading_a_small_catalog_costs_about_a_millisecond(make_catalog):
    catalog = make_catalog("\n".join(f"data_{number}: data/{number}.csv" for number in range(8)))
    workspace = catalog._workspace

    def load() -> float:
        start = time.perf_counter()
        Catalog.load(workspace, flow_name="answers", folder=workspace.flow_folder("answers"))
        return time.perf_counter() - start

    assert min(load() for _ in range(20)) < 0.005  # seconds; 0.6 ms on a slow core
