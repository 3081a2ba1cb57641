"""Say hello: the smallest flow."""

from latent.prefect import flow, params, task


@task("greet")
def greet(name: str) -> str:
    """One step of the flow; remembered for each name."""
    return f"Hello, {name}!"


@flow("hello")
def hello() -> str:
    """Greet the name in `parameters.yaml`."""
    return greet(params.name)
