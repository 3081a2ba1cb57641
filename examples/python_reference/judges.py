"""A judge, for `latent score RUN --with judges.py:tiny_judge`."""

from latent.evals import Judge
from latent.llm import Model

tiny_judge = Judge(
    "Does the output answer the question, and does it hold the expected term?",
    # It comes along, needs no key, and shows how a judge is used. It cannot judge: use a large model.
    model=Model("local:smollm2", max_tokens=96, temperature=0),
    scale={0: "no", 1: "yes"},
    name="tiny_judge",
    recheck=0,
)
