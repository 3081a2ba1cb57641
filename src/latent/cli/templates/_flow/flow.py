"""What the flow is for, in one sentence."""

from latent.prefect import flow, logger, params, task


@task("greet")
def greet(name: str) -> str:
    """One step of the flow; its result is remembered for each name."""
    return f"Hello, {name}!"


@flow("my_flow")
def my_flow() -> str:
    """What the flow returns."""
    greeting: str = greet(params.name)
    logger.info(greeting)
    return greeting
