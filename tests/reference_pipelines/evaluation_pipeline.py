# ruff: noqa
# fmt: off
"""
The reference's second pipeline, "LLM Batch Processing with Evaluation", with its schedule and its limited call,
line by line as they stand there.

Repaired where they cannot work: imports that the page forgets; `Deployment` and `CronSchedule`, which Prefect 3
dropped (`to_deployment` with a `Cron` in their place). The page breaks off inside of `generate_report`: its end and
the flow were added, and the lines that start it.
"""
# evaluation_pipeline.py
from prefect import flow, task
from prefect.artifacts import create_markdown_artifact
from prefect.tasks import task_input_hash
from prefect.concurrency.sync import concurrency
from prefect.schedules import Cron
from datetime import timedelta
from anthropic import Anthropic
import json
import statistics

claude = Anthropic()


@task(
    retries=3,
    retry_delay_seconds=[5, 15, 30],
    cache_key_fn=task_input_hash,
    cache_expiration=timedelta(hours=2)
)
def process_with_claude(prompt: str, item_id: str) -> dict:
    """Process a single item through Claude. Cached to avoid re-runs."""
    response = claude.messages.create(
        model="claude-opus-4-6",
        max_tokens=512,
        messages=[{"role": "user", "content": prompt}]
    )
    return {
        "id": item_id,
        "response": response.content[0].text,
        "input_tokens": response.usage.input_tokens,
        "output_tokens": response.usage.output_tokens
    }


@task
def evaluate_response(result: dict, expected_pattern: str = None) -> dict:
    """Score a response using Claude as judge."""
    if not expected_pattern:
        return {**result, "score": None}
    judge_response = claude.messages.create(
        model="claude-opus-4-6",
        max_tokens=100,
        messages=[{
            "role": "user",
            "content": f"""Rate this response 1-5 for quality.
Expected pattern: {expected_pattern}
Response: {result['response']}
Return only a JSON object: {{"score": N, "reason": "..."}}"""
        }]
    )
    try:
        evaluation = json.loads(judge_response.content[0].text)
    except json.JSONDecodeError:
        evaluation = {"score": 3, "reason": "parse error"}
    return {**result, **evaluation}


@task
def generate_report(evaluations: list[dict]) -> str:
    """Generate a markdown report of the batch evaluation."""
    scores = [e.get("score") for e in evaluations if e.get("score")]
    total_input = sum(e.get("input_tokens", 0) for e in evaluations)
    total_output = sum(e.get("output_tokens", 0) for e in evaluations)
    report = f"""# Batch Evaluation Report
Items: {len(evaluations)}
Mean score: {statistics.mean(scores) if scores else None}
Tokens: {total_input} in, {total_output} out
"""
    create_markdown_artifact(key="batch-evaluation", markdown=report)
    return report


@task
def rate_limited_claude_call(prompt: str) -> str:
    """Call Claude with enforced concurrency limit."""
    with concurrency("anthropic-api", occupy=1):
        response = claude.messages.create(
            model="claude-opus-4-6",
            max_tokens=512,
            messages=[{"role": "user", "content": prompt}]
        )
        return response.content[0].text


@flow(name="batch-evaluation", log_prints=True)
def evaluate_batch(items: list[dict]):
    results = [process_with_claude.submit(item["prompt"], item["id"]) for item in items]
    evaluations = [
        evaluate_response.submit(result, item.get("expected")) for result, item in zip(results, items)
    ]
    summary = rate_limited_claude_call("Say that the batch is done.")
    return [each.result() for each in evaluations], generate_report(evaluations), summary


# schedule_pipeline.py
# Deploy the pipeline to run daily at 2am
deployment = evaluate_batch.to_deployment(
    name="nightly-evaluation",
    parameters={"items": []},
    schedule=Cron("0 2 * * *", timezone="UTC"),
    work_queue_name="default"
)


if __name__ == "__main__":
    items = [
        {"id": "a", "prompt": "What is a flow?", "expected": "a function"},
        {"id": "b", "prompt": "What is a task?", "expected": "a step"},
        {"id": "c", "prompt": "What is a row?"},
    ]
    schedule = deployment.schedules[0].schedule
    print("RESULT", json.dumps([*evaluate_batch(items), deployment.name, schedule.cron]))
