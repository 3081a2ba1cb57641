"""Every example of the reference documentation, imports and data completed, as a test of its own."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pandas as pd
import pytest
from pydantic import BaseModel, Field

from latent.cache.memory import open_memory
from latent.errors import ConfigValidationError, ParameterNotFoundError, TaskExecutionError
from latent.prefect import (
    checkpoint,
    clear_checkpoints,
    flow,
    get_config,
    get_flow_logger,
    logger,
    params,
    task,
)
from latent.registry import TaskRegistry

RAW = "value,name\n1,a\n-2,b\n,c\n4,d\n"


class FlowConfig(BaseModel):
    batch_size: int
    model_name: str


class MyFlowConfig(BaseModel):
    batch_size: int = Field(gt=0, description="Batch size for processing")
    model_name: str
    learning_rate: float = 0.001
    max_iterations: int = Field(default=1000, le=10000)


def test_flow_decorator_takes_name_input_output_and_schema(make):
    make(
        {
            "flows/flow_name/catalog.yaml": """
                dataset1: data/one.json
                dataset2: data/two.json
                result1: data/result1.json
                result2: data/result2.json
            """,
            "flows/flow_name/parameters.yaml": "batch_size: 2\nmodel_name: gpt-4\n",
            "data/one.json": "[1]",
            "data/two.json": "[2]",
        }
    )

    @flow(
        "flow_name",
        input=["dataset1", "dataset2"],
        output=["result1", "result2"],
        config_schema=FlowConfig,
        flow_run_name="a run",
    )
    def my_flow(dataset1, dataset2):
        return dataset1 * params.batch_size, dataset2

    assert my_flow() == ([1, 1], [2])


def test_simple_flow_without_inputs_or_outputs(make, caplog):
    make({})

    @flow("simple_flow")
    def simple_flow():
        """A simple flow with no explicit inputs/outputs."""
        logger.info("Flow started")
        return "done"

    assert simple_flow() == "done"


def test_flow_with_inputs_gets_them_loaded(make):
    make(
        {
            "flows/processing_flow/catalog.yaml": "raw_data: data/raw.csv\nconfig_data: data/config.yaml\n",
            "data/raw.csv": RAW,
            "data/config.yaml": "minimum: 2\n",
        }
    )

    @flow("processing_flow", input=["raw_data", "config_data"])
    def processing_flow(raw_data, config_data):
        return raw_data[raw_data["value"] > config_data["minimum"]]

    assert processing_flow()["name"].tolist() == ["d"]


def test_downstream_flow_loads_upstreams_dataset(make):
    make(
        {
            "flows/upstream_flow/catalog.yaml": "output_dataset: data/output.json\n",
            "flows/upstream_flow/flow.py": "",
            "data/output.json": '{"answer": 42}',
        }
    )

    @flow("downstream_flow", input=["upstream_flow.output_dataset"])
    def downstream_flow(upstream_data):
        return upstream_data["answer"]

    assert downstream_flow() == 42


def test_task_decorator_takes_all_its_options(make):
    workspace = make(
        {
            "flows/main/catalog.yaml": "input_dataset: data/in.json\noutput_dataset: data/out.json\n",
            "data/in.json": "[3, 1, 2]",
        }
    )

    @task(
        "task_name",
        input="input_dataset",
        output="output_dataset",
        cache=True,
        retry=True,
        span_type="CHAIN",
        cache_expiration=timedelta(days=7),
        tags=["tagged"],
    )
    def my_task(input_data):
        return sorted(input_data)

    @flow("main")
    def main():
        return my_task()

    assert main() == [1, 2, 3]
    assert (workspace.root / "data/out.json").exists()
    assert my_task.fn([2, 1]) == [1, 2]


def test_basic_task(make):
    make({})

    @task("process_data")
    def process_data(data):
        return data.dropna()

    @flow("main")
    def main():
        return process_data(pd.DataFrame({"value": [1.0, None]}))

    assert len(main()) == 1


def test_task_with_catalog_input_and_output(make):
    workspace = make(
        {
            "flows/main/catalog.yaml": "raw_data: data/raw.csv\ncleaned_data: data/cleaned.csv\n",
            "data/raw.csv": RAW,
        }
    )

    @task("clean_data", input="raw_data", output="cleaned_data")
    def clean_data(raw_data: pd.DataFrame) -> pd.DataFrame:
        cleaned = raw_data.dropna()
        return cleaned[cleaned["value"] > 0]

    @flow("main")
    def main():
        return clean_data()

    assert main()["name"].tolist() == ["a", "d"]
    assert pd.read_csv(workspace.root / "data/cleaned.csv")["name"].tolist() == ["a", "d"]


def test_task_with_thirty_days_of_memory(make, monkeypatch):
    make({"flows/main/catalog.yaml": "data: data/d.json\nresults: data/r.json\n", "data/d.json": "[1, 2]"})
    calls = []

    @task("expensive_computation", input="data", output="results", cache_expiration=timedelta(days=30))
    def expensive_computation(data):
        calls.append(1)
        return [x * 2 for x in data]

    @flow("main")
    def main():
        return expensive_computation()

    assert main() == main() == [2, 4]
    assert len(calls) == 1


def test_task_without_cache_always_runs(make):
    make({})
    calls = []

    @task("generate_timestamp", cache=False, retry=False)
    def generate_timestamp():
        calls.append(1)
        return datetime.now(UTC).isoformat()

    @flow("main")
    def main():
        return generate_timestamp(), generate_timestamp()

    main()
    assert len(calls) == 2
    assert generate_timestamp.retries == 0


def test_typed_configuration(make):
    make(
        {
            "flows/my_flow/parameters.yaml": """
                batch_size: 32
                model_name: "gpt-4"
                learning_rate: 0.001
            """
        }
    )

    @flow("my_flow", config_schema=MyFlowConfig)
    def my_flow():
        batch_size: int = params.batch_size
        logger.info(f"Running with batch_size={batch_size}")
        return batch_size, params.model_name, params.max_iterations, params.as_model(MyFlowConfig)

    assert my_flow() == (32, "gpt-4", 1000, MyFlowConfig(batch_size=32, model_name="gpt-4"))


def test_validation_failure_names_flow_field_and_file(make):
    make({"flows/my_flow/parameters.yaml": "batch_size: -1\nmodel_name: gpt-4\n"})

    @flow("my_flow", config_schema=MyFlowConfig)
    def my_flow():
        return None

    with pytest.raises(ValueError, match="batch_size") as caught:
        my_flow()
    assert isinstance(caught.value, ConfigValidationError)
    first, second, *_ = str(caught.value).splitlines()
    assert first == "Configuration validation failed for flow 'my_flow':"
    assert second.startswith("  batch_size: ")
    assert "greater than 0" in second
    assert "flows/my_flow/parameters.yaml" in second


def test_task_failure_is_wrapped_with_context(make):
    make({"flows/main/catalog.yaml": "data: data/d.json\n", "data/d.json": "[1]"})

    @task("process", input="data")
    def process_task(data):
        raise ValueError("Processing failed!")

    @flow("main")
    def main():
        return process_task()

    with pytest.raises(ValueError, match="Processing failed!") as caught:
        main()
    error = caught.value
    assert isinstance(error, TaskExecutionError)
    lines = str(error).splitlines()
    assert lines[0] == "Task 'process' failed."
    assert lines[1] == "Original error: ValueError: Processing failed!"
    assert lines[2].startswith("Context: {'input': 'data', 'row_index': None")
    assert error.context["attempts"] == 4
    assert isinstance(error.__cause__, ValueError)


def test_registry_prints_the_topology(make, capsys):
    make(
        {
            "flows/data_pipeline/catalog.yaml": """
                raw_data: data/raw.json
                cleaned_data: data/clean.json
                processed_data: data/processed.json
            """
        }
    )

    @task("load", output="raw_data")
    def load():
        return [1, 2]

    @task("clean", input="raw_data", output="cleaned_data")
    def clean(raw_data):
        return raw_data

    @task("process", input="cleaned_data", output="processed_data")
    def process(cleaned_data):
        return cleaned_data

    @flow("data_pipeline")
    def data_pipeline():
        load()
        clean()
        process()

    data_pipeline()
    TaskRegistry.print_ascii()
    assert capsys.readouterr().out.strip() == (
        "=== 🌳 Canopy Pipeline Topology ===\n"
        "\n"
        "📦 Flow: data_pipeline\n"
        "  ├── ⚙️  load\n"
        "  │    ⬆️  out: raw_data\n"
        "  ├── ⚙️  clean\n"
        "  │    ⬇️  in: raw_data\n"
        "  │    ⬆️  out: cleaned_data\n"
        "  ├── ⚙️  process\n"
        "  │    ⬇️  in: cleaned_data\n"
        "  │    ⬆️  out: processed_data"
    )


def test_params_object(make):
    make({"flows/main/parameters.yaml": "batch_size: 8\nmodel_name: m\nlearning_rate: 0.5\n"})

    @task("process")
    def process_task(data):
        return data, params.batch_size, params.model_name, params["learning_rate"], params.get("timeout", 30)

    @flow("main")
    def main():
        return process_task("x")

    assert main() == ("x", 8, "m", 0.5, 30)


def test_cross_flow_parameters(make):
    make(
        {
            "config/global.yaml": "temperature: 0.1\nregion: eu\n",
            "flows/upstream_flow/parameters.yaml": "model_name: big\ntemperature: 0.3\n",
            "flows/upstream_flow/flow.py": "",
            "flows/downstream_flow/parameters.yaml": "batch_size: 4\n",
        }
    )

    @task("analyze")
    def analyze_task(data):
        return (
            params.get("upstream_flow.model_name"),
            params.get("upstream_flow.temperature", default=0.7),
            params.get("upstream_flow.region"),
            params.get("upstream_flow.nothing", default="none"),
            params.get("no_flow.model_name"),
            params.batch_size,
        )

    @flow("downstream_flow")
    def downstream_flow():
        for read in (lambda: params.upstream_flow, lambda: params["upstream_flow.model_name"]):
            with pytest.raises(ParameterNotFoundError, match=r"params\.get"):
                read()
        return analyze_task("x")

    assert downstream_flow() == ("big", 0.3, "eu", "none", None, 4)


def test_get_config(make):
    make(
        {
            "flows/my_flow/parameters.yaml": "batch_size: 8\n",
            "flows/my_flow/catalog.yaml": "raw: data/raw.csv\n",
        }
    )

    @flow("my_flow")
    def my_flow():
        config = get_config()
        return config["parameters"]["batch_size"], config["catalog"]

    batch_size, datasets = my_flow()
    assert batch_size == 8
    assert "raw" in datasets


def test_logger_in_a_task(make):
    workspace = make({})

    @task("process", retry=False)
    def process_task(data):
        logger.debug("Detailed debug information")
        logger.info(f"Processing {len(data)} rows")
        logger.warning("This might take a while")
        logger.error("Something went wrong")
        try:
            raise RuntimeError("risky")
        except Exception:
            logger.exception("Operation failed")
            raise

    @flow("main")
    def main():
        return process_task([1, 2])

    with pytest.raises(RuntimeError):
        main()
    (log,) = workspace.logs_dir.glob("*.log")
    text = log.read_text()
    for line in ("Processing 2 rows", "This might take a while", "Something went wrong", "Operation failed"):
        assert line in text
    assert "Detailed debug" not in text


def test_get_flow_logger_in_a_task(make):
    workspace = make({})

    @task("process")
    def process_task(data):
        task_logger = get_flow_logger()
        task_logger.info("Task started")
        return data

    @flow("main")
    def main():
        return process_task(1)

    assert main() == 1
    assert "Task started" in next(workspace.logs_dir.glob("*.log")).read_text()


def test_parallel_flow(make):
    make({})

    @task("process_item")
    def process_item_task(item, idx):
        logger.info(f"Processing item {idx}")
        return item * idx

    @flow("parallel_flow")
    def parallel_flow():
        items = [5, 6, 7]
        futures = process_item_task.map(item=items, idx=range(len(items)))
        results = [f.result() for f in futures]
        return sum(results)

    assert parallel_flow() == 0 + 6 + 14


@pytest.mark.parametrize(("preprocess", "save", "ran"), [(True, False, ["pre"]), (False, True, ["save"])])
def test_conditional_flow(make, preprocess, save, ran):
    make(
        {
            "flows/conditional_flow/parameters.yaml": f"""
                enable_preprocessing: {str(preprocess).lower()}
                save_intermediate: {str(save).lower()}
            """
        }
    )
    seen = []

    @task("preprocess", cache=False)
    def preprocess_task(data):
        seen.append("pre")
        return data + 1

    @task("analyze", cache=False)
    def analyze_task(data):
        return data * 10

    @task("save_intermediate", cache=False)
    def save_intermediate_task(data):
        seen.append("save")

    @flow("conditional_flow")
    def conditional_flow():
        data = 1
        if params.enable_preprocessing:
            data = preprocess_task(data)
        results = analyze_task(data)
        if params.save_intermediate:
            save_intermediate_task(data)
        return results

    assert conditional_flow() == (20 if preprocess else 10)
    assert seen == ran


def test_dynamic_task_configuration(make):
    make({"flows/main/parameters.yaml": "task_config:\n  threshold: 0.9\n"})

    @task("configurable_task")
    def configurable_task(data):
        task_config = params.get("task_config", {})
        return data, task_config.get("threshold", 0.5), task_config.get("method", "default")

    @flow("main")
    def main():
        return configurable_task("x")

    assert main() == ("x", 0.9, "default")


def test_error_handling_inside_a_task(make):
    make({})

    def process(data):
        raise ValueError("odd")

    @task("robust_task", retry=True)
    def robust_task(data):
        try:
            result = process(data)
        except ValueError as e:
            logger.warning(f"Validation error: {e}, using defaults")
            result = "default"
        except Exception as e:
            logger.error(f"Unexpected error: {e}")
            raise
        return result

    @flow("main")
    def main():
        return robust_task(1)

    assert main() == "default"


def test_subflows(make):
    make({})

    @task("clean")
    def clean_task(data):
        return [x for x in data if x]

    @task("process")
    def process_task(data):
        return sum(data)

    @flow("subflow")
    def subflow(data):
        """A reusable subflow."""
        cleaned = clean_task(data)
        return process_task(cleaned)

    @flow("main_flow")
    def main_flow():
        """Main flow that calls subflows."""
        return subflow([1, 0, 2]) + subflow([0, 5])

    assert main_flow() == 8


def test_file_based_caching(make):
    workspace = make(
        {
            "flows/main/catalog.yaml": "raw_data: data/raw.json\nprocessed_data: data/p.json\n",
            "data/raw.json": "[1, 2]",
        }
    )
    calls = []

    @task("cached_task", input="raw_data", output="processed_data")
    def cached_task(raw_data):
        calls.append(1)
        return [x * 2 for x in raw_data]

    @flow("main")
    def main():
        return cached_task()

    assert main() == main() == [2, 4]
    assert len(calls) == 1
    (workspace.root / "data/raw.json").write_text("[3]")
    assert main() == [6]
    assert len(calls) == 2


def test_row_level_caching(make):
    make({})
    calls = []

    @task("process_row")
    def process_row(row_data: dict) -> dict:
        calls.append(row_data["id"])
        return {"id": row_data["id"], "double": row_data["id"] * 2}

    rows = [{"id": 1}, {"id": 2}]

    @flow("my_flow")
    def my_flow():
        return process_row.map(row_data=rows)

    assert my_flow() == [{"id": 1, "double": 2}, {"id": 2, "double": 4}]
    rows.append({"id": 3})
    assert my_flow()[2] == {"id": 3, "double": 6}
    assert sorted(calls) == [1, 2, 3]


def test_disabled_caching(make):
    make({})

    @task("random_task", cache=False)
    def random_task():
        return random.random()

    @flow("main")
    def main():
        return random_task(), random_task()

    first, second = main()
    assert first != second


def test_custom_cache_duration_ends(make, monkeypatch):
    workspace = make({})
    calls = []

    @task("api_task", cache_expiration=timedelta(hours=1))
    def api_task():
        calls.append(1)
        return "fetched"

    @flow("main")
    def main():
        return api_task(), api_task()

    main()
    assert len(calls) == 1
    monkeypatch.setattr(open_memory(workspace), "_clock", lambda: time.time() + 3601)
    main()
    assert len(calls) == 2


def _documents_task(paid, fail_at):
    """The reference's example, with a model that fails once at one document."""
    failing = {"at": fail_at}

    class Client:
        def complete(self, prompt):
            if prompt == failing["at"]:
                failing["at"] = None
                raise ConnectionError("network down")
            paid.append(prompt)
            return prompt.upper()

    def complete(prompt):
        return Client().complete(prompt)

    @task("process_documents", cache=False)
    def process_documents(documents: list[dict]) -> list[dict]:
        @checkpoint
        def expensive_llm_call(doc: dict) -> dict:
            response = complete(doc["prompt"])
            return {"id": doc["id"], "response": response}

        results = []
        for doc in documents:
            results.append(expensive_llm_call(doc))
        return results

    return process_documents


def test_checkpoint_resumes_within_a_task(make, monkeypatch):
    make({})
    monkeypatch.setenv("LATENT_ENVIRONMENT", "dev")
    paid = []
    process_documents = _documents_task(paid, fail_at="p75")
    documents = [{"id": n, "prompt": f"p{n}"} for n in range(100)]

    @flow("main")
    def main():
        return process_documents(documents)

    assert [row["response"] for row in main()] == [f"P{n}" for n in range(100)]
    assert len(paid) == 100  # the retry after document 75 paid for none of the first 75 again


def test_checkpoint_is_a_no_op_in_production(make):
    make({})
    paid = []
    process_documents = _documents_task(paid, fail_at="p5")

    @flow("main")
    def main():
        return process_documents([{"id": n, "prompt": f"p{n}"} for n in range(10)])

    main()
    assert len(paid) == 5 + 10


def test_several_checkpoints_are_independent(make, monkeypatch):
    make({})
    monkeypatch.setenv("LATENT_ENVIRONMENT", "dev")
    calls = []

    @task("complex_pipeline", cache=False)
    def complex_pipeline(items: list[dict]) -> list[dict]:
        @checkpoint
        def step_1_extract(item: dict) -> dict:
            calls.append("extract")
            return {"extracted": item["x"]}

        @checkpoint
        def step_2_transform(extracted: dict) -> dict:
            calls.append("transform")
            return {"transformed": extracted["extracted"] * 2}

        @checkpoint
        def step_3_validate(transformed: dict) -> dict:
            calls.append("validate")
            return {"valid": transformed["transformed"] > 0}

        return [step_3_validate(step_2_transform(step_1_extract(item))) for item in items]

    @flow("main")
    def main():
        return complex_pipeline([{"x": 1}, {"x": -1}])

    assert main() == main() == [{"valid": True}, {"valid": False}]
    assert sorted(calls) == ["extract"] * 2 + ["transform"] * 2 + ["validate"] * 2


def test_clear_checkpoints(make, monkeypatch):
    make({})
    monkeypatch.setenv("LATENT_ENVIRONMENT", "dev")
    calls = []

    @task("once", cache=False)
    def once():
        @checkpoint
        def pay(x):
            calls.append(x)
            return x

        return pay(1)

    @flow("main")
    def main():
        return once()

    main()
    clear_checkpoints()
    main()
    assert calls == [1, 1]


def test_checkpoint_in_a_thread_pool(make, monkeypatch):
    make({})
    monkeypatch.setenv("LATENT_ENVIRONMENT", "dev")
    calls = []

    @task("parallel_processing", cache=False)
    def parallel_processing(items: list[dict]) -> list[dict]:
        @checkpoint
        def process_item(item: dict) -> dict:
            calls.append(item["n"])
            return {"n": item["n"] * 2}

        with ThreadPoolExecutor(max_workers=10) as executor:
            futures = [executor.submit(process_item, item) for item in items]
            return [f.result() for f in futures]

    items = [{"n": n} for n in range(50)]

    @flow("main")
    def main():
        return parallel_processing(items)

    assert main() == main() == [{"n": n * 2} for n in range(50)]
    assert sorted(calls) == list(range(50))


def test_checkpoint_defined_once_at_task_level(make, monkeypatch):
    make({})
    monkeypatch.setenv("LATENT_ENVIRONMENT", "dev")
    calls = []

    @task("process_batch", cache=False)
    def process_batch(items: list[dict]) -> list[dict]:
        @checkpoint
        def call_api(item: dict) -> dict:
            calls.append(item["n"])
            return {"n": item["n"]}

        return [call_api(item) for item in items]

    @flow("main")
    def main():
        return process_batch([{"n": 1}, {"n": 1}, {"n": 2}])

    assert main() == [{"n": 1}, {"n": 1}, {"n": 2}]
    assert calls == [1, 2]


def test_checkpoint_redefined_in_a_loop_corrupts_nothing(make, monkeypatch):
    make({})
    monkeypatch.setenv("LATENT_ENVIRONMENT", "dev")

    @task("process_batch", cache=False)
    def process_batch(items: list[dict]) -> list[dict]:
        results = []
        for item in items:
            factor = item["n"]

            @checkpoint
            def process_this_item(x: int) -> int:
                return x * factor  # noqa: B023  # called at once

            results.append(process_this_item(10))
        return results

    @flow("main")
    def main():
        return process_batch([{"n": 1}, {"n": 2}, {"n": 1}])

    assert main() == main() == [10, 20, 10]


def test_small_focused_tasks(make):
    make({})

    @task("clean_data")
    def clean_data(data):
        return data.dropna()

    @task("transform_data")
    def transform_data(data):
        return data.apply(lambda column: column * 2)

    @flow("main")
    def main():
        return transform_data(clean_data(pd.DataFrame({"v": [1.0, None, 3.0]})))

    assert main()["v"].tolist() == [2.0, 6.0]


def test_type_hints(make):
    make({})

    @task("process")
    def process_task(data: pd.DataFrame) -> pd.DataFrame:
        return data.dropna()

    @flow("main")
    def main():
        return process_task(pd.DataFrame({"v": [1.0, None]}))

    assert len(main()) == 1


def test_descriptive_logging(make):
    workspace = make({"flows/main/parameters.yaml": "batch_size: 16\n"})

    @task("process")
    def process_task(data):
        logger.info(f"Processing {len(data)} rows with batch_size={params.batch_size}")
        result = data[1:]
        logger.info(f"Processed {len(result)} rows, dropped {len(data) - len(result)}")
        return result

    @flow("main")
    def main():
        return process_task([1, 2, 3])

    assert main() == [2, 3]
    text = next(workspace.logs_dir.glob("*.log")).read_text()
    assert "Processing 3 rows with batch_size=16" in text
    assert "Processed 2 rows, dropped 1" in text


def test_errors_handled_gracefully(make):
    make({})

    @task("api_call")
    def api_call_task():
        try:
            raise TimeoutError("slow")
        except TimeoutError:
            logger.warning("API timeout, using cached data")
            result = "cached"
        except Exception as e:
            logger.error(f"API call failed: {e}")
            raise
        return result

    @flow("main")
    def main():
        return api_call_task()

    assert main() == "cached"
