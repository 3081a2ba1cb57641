"""Parameters: merged in order, validated, each with the file it came from."""

import pickle
import time
from pathlib import Path
from typing import Annotated, Any

import pytest
from pydantic import (
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    RootModel,
    SecretStr,
    field_serializer,
    model_validator,
)

from latent.config import Parameters, find_workspace, load_flow_parameters, load_parameters, parse_override
from latent.config import parse_overrides as overrides_of
from latent.config.merging import find
from latent.errors import ConfigError, ConfigValidationError, UsageError


class FlowConfig(BaseModel):
    batch_size: int = Field(gt=0)
    model_name: str
    learning_rate: float = 0.001
    max_iterations: int = Field(default=1000, le=10000)


def load(
    make_workspace, own: str | None = None, shared: str = "", schema: Any = None, **overrides: Any
) -> Parameters:
    """The parameters of `my_flow` from the text of its own file, that of global.yaml, and overrides."""
    files = {"config/global.yaml": shared}
    if own is not None:
        files["flows/my_flow/parameters.yaml"] = own
    workspace = make_workspace(files)
    folder = workspace.flow_folder("my_flow")
    return load_parameters(workspace, flow_name="my_flow", folder=folder, schema=schema, overrides=overrides)


def test_overrides_win_over_the_flow_over_global_over_defaults(make_workspace):
    parameters = load(
        make_workspace,
        own="batch_size: 2\nmodel_name: flow",
        shared="batch_size: 1\nmodel_name: shared\nmax_iterations: 10",
        schema=FlowConfig,
        batch_size=3,
    )
    assert parameters.values == {
        "batch_size": 3,
        "model_name": "flow",
        "max_iterations": 10,
        "learning_rate": 0.001,
    }
    assert {key: parameters.source_of(key) for key in parameters.values} == {
        "batch_size": "run-time override",
        "model_name": "flows/my_flow/parameters.yaml",
        "max_iterations": "config/global.yaml",
        "learning_rate": "default of FlowConfig",
    }
    assert parameters.model == FlowConfig(batch_size=3, model_name="flow", max_iterations=10)


def test_mappings_merge_at_every_depth_and_all_else_replaces(make_workspace):
    parameters = load(
        make_workspace,
        shared="a: {x: {deep: 1, kept: 1}, list: [1, 2], scalar: 1, mapping: {y: 1}}",
        own="a: {x: {deep: 2}, list: [3], scalar: {z: 1}, mapping: null}",
    )
    assert parameters.values == {
        "a": {"x": {"deep": 2, "kept": 1}, "list": [3], "scalar": {"z": 1}, "mapping": None}
    }
    assert parameters.source_of("a.x.kept") == "config/global.yaml"
    assert parameters.source_of("a.x.deep") == "flows/my_flow/parameters.yaml"
    assert parameters.source_of("a.x") == "config/global.yaml and flows/my_flow/parameters.yaml"
    assert parameters.source_of("a.mapping.y") == "flows/my_flow/parameters.yaml"
    assert parameters.source_of("nothing") == ""


def test_nothing_anywhere_is_no_parameters(make_workspace):
    assert load(make_workspace) == Parameters("my_flow", {})
    assert load(make_workspace, own="") == Parameters("my_flow", {})


def test_files_are_not_shared_between_runs(make_workspace):
    first = load(make_workspace, own="list: [1]", shared="m: {a: [1]}")
    first.values["m"]["a"].append(2)
    assert load(make_workspace, own="list: [1]", shared="m: {a: [1]}").values["m"] == {"a": [1]}


def test_message_names_each_field_its_value_and_its_file(make_workspace):
    with pytest.raises(ConfigValidationError) as caught:
        load(
            make_workspace,
            own="batch_size: -1\nmodle_name: gpt",
            shared="learning_rate: fast",
            schema=FlowConfig,
            max_iterations=20_000,
        )
    assert str(caught.value).splitlines() == [
        "Configuration validation failed for flow 'my_flow':",
        "  modle_name: unknown key, did you mean 'model_name'? "
        "(type=unknown_key, from flows/my_flow/parameters.yaml)",
        "  batch_size: Input should be greater than 0 "
        "(type=greater_than, got -1, from flows/my_flow/parameters.yaml)",
        "  model_name: Field required (type=missing, set it in flows/my_flow/parameters.yaml)",
        "  learning_rate: Input should be a valid number, unable to parse string as a number "
        "(type=float_parsing, got 'fast', from config/global.yaml)",
        "  max_iterations: Input should be less than or equal to 10000 "
        "(type=less_than_equal, got 20000, from run-time override)",
    ]
    assert isinstance(caught.value, ValueError)
    assert caught.value.__cause__ is None, "pydantic's own message would show what ours masks"


def test_validation_error_survives_the_way_to_another_process():
    error = ConfigValidationError("my_flow", ("batch_size: wrong",))
    again = pickle.loads(pickle.dumps(error))
    assert (
        str(again) == str(error) == "Configuration validation failed for flow 'my_flow':\n  batch_size: wrong"
    )
    assert (again.flow_name, again.problems) == ("my_flow", ("batch_size: wrong",))


def test_keys_of_global_need_not_be_in_the_schema(make_workspace):
    own = "batch_size: 1\nmodel_name: gpt"
    parameters = load(make_workspace, own=own, shared="team: blue", schema=FlowConfig)
    assert parameters.values["team"] == "blue"
    # Nor do they when the run sets them, or when the schema forbids what it does not know.
    assert (
        load(make_workspace, own=own, shared="team: blue", schema=FlowConfig, team="red").values["team"]
        == "red"
    )

    class Closed(FlowConfig):
        model_config = ConfigDict(extra="forbid")

    assert load(make_workspace, own=own, shared="team: blue", schema=Closed).values["team"] == "blue"


def test_override_that_nobody_knows_is_an_error_with_a_schema_only(make_workspace):
    own = "batch_size: 1\nmodel_name: gpt"
    with pytest.raises(
        ConfigValidationError, match=r"batchsize: unknown key, did you mean 'batch_size'\? .*override"
    ):
        load(make_workspace, own=own, schema=FlowConfig, batchsize=2)
    assert load(make_workspace, own=own, batchsize=2).values["batchsize"] == 2


def test_open_schema_takes_further_keys(make_workspace):
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        known: int = 1

    parameters = load(make_workspace, own="more: {a: 1}", shared="team: blue", schema=Open)
    assert parameters.values == {"known": 1, "more": {"a": 1}, "team": "blue"}
    assert parameters.model.more == {"a": 1}


class Sampling(BaseModel):
    temperature: float = 0.0
    stop: list[str] = []


class Stage(BaseModel):
    name: str
    sampling: Sampling = Sampling()


class Names(RootModel[dict[str, int]]):
    pass


class DeepConfig(BaseModel):
    sampling: Sampling | None = None
    stages: list[Stage] = []
    by_name: dict[str, Stage] = {}
    names: Names = Names({})


def test_nested_values_are_those_of_the_validated_model(make_workspace):
    own = """
        sampling: {temperature: 1}
        stages:
          - name: first
            sampling: {stop: ["."]}
        names: {any: 1}
    """
    parameters = load(make_workspace, own=own, schema=DeepConfig)
    assert parameters.values == {
        "sampling": {"temperature": 1.0, "stop": []},
        "stages": [{"name": "first", "sampling": {"temperature": 0.0, "stop": ["."]}}],
        "by_name": {},
        "names": {"any": 1},
    }
    assert parameters.source_of("sampling.temperature") == "flows/my_flow/parameters.yaml"
    assert parameters.source_of("sampling.stop") == "default of Sampling"


@pytest.mark.parametrize(
    ("own", "line"),
    [
        ("sampling: {temprature: 1}", "sampling.temprature: unknown key, did you mean 'temperature'?"),
        ("stages: [{name: a, nme: b}]", "stages.0.nme: unknown key, did you mean 'name'?"),
        (
            "by_name: {x: {name: a, sampling: {stp: []}}}",
            "by_name.x.sampling.stp: unknown key, did you mean 'stop'?",
        ),
        ("zzz: 1", "zzz: unknown key, known here: by_name, names, sampling, stages"),
        ("1: 1", "1: unknown key, known here:"),
    ],
)
def test_misspelled_keys_are_errors_at_every_depth(make_workspace, own, line):
    with pytest.raises(ConfigValidationError) as caught:
        load(make_workspace, own=own, schema=DeepConfig)
    assert line in str(caught.value)
    assert "from flows/my_flow/parameters.yaml" in str(caught.value)


def test_misspelled_key_inside_a_shared_mapping_is_not_the_flows_fault(make_workspace):
    parameters = load(
        make_workspace,
        own="sampling: {temperature: 1}",
        shared="sampling: {for_others: 1}",
        schema=DeepConfig,
    )
    assert parameters.values["sampling"] == {"temperature": 1.0, "stop": []}


def test_aliases_are_read_and_the_field_names_are_used(make_workspace):
    class Aliased(BaseModel):
        model: str = Field(alias="model-name")
        size: int = Field(validation_alias=AliasChoices("batch", "batch-size"))

    parameters = load(make_workspace, own="model-name: gpt\nbatch-size: 2", schema=Aliased)
    assert parameters.values == {"model": "gpt", "size": 2}
    assert parameters.source_of("model") == "flows/my_flow/parameters.yaml"
    with pytest.raises(ConfigValidationError, match="model: unknown key, did you mean 'model-name'"):
        load(make_workspace, own="model: gpt\nbatch: 2", schema=Aliased)


def test_values_do_not_pass_through_serializers(make_workspace):
    class Paths(BaseModel):
        folder: Path
        token: SecretStr

        @field_serializer("folder")
        def _as_text(self, value: Path) -> str:
            return "serialized"

    values = load(make_workspace, own="folder: data\ntoken: hush-hush", schema=Paths).values
    assert values["folder"] == Path("data")
    assert values["token"].get_secret_value() == "hush-hush"


def test_check_across_fields_is_reported_without_the_whole_configuration(make_workspace):
    class Range(BaseModel):
        low: int
        high: int

        @model_validator(mode="after")
        def _ordered(self) -> "Range":
            if self.low > self.high:
                raise ValueError("low is above high")
            return self

    with pytest.raises(
        ConfigValidationError,
        match=r"\n  configuration: Value error, low is above high \(type=value_error\)$",
    ):
        load(make_workspace, own="low: 2\nhigh: 1", schema=Range)


def test_secrets_do_not_appear_in_messages(make_workspace):
    class Secretive(BaseModel):
        api_key: int
        note: Annotated[int, Field(gt=0)]

    with pytest.raises(ConfigValidationError) as caught:
        load(make_workspace, own="api_key: hunter2hunter2\nnote: sk-abcdefghijklmnopqrstuv", schema=Secretive)
    assert "got ***" in str(caught.value)
    assert "hunter2" not in str(caught.value)
    assert "abcdefghijkl" not in str(caught.value)


def test_long_values_are_shortened_in_messages(make_workspace):
    with pytest.raises(ConfigValidationError, match=r"got 'x{79}\.\.\. \(50002 characters\)"):
        load(make_workspace, own=f"batch_size: {'x' * 50_000}\nmodel_name: a", schema=FlowConfig)


def test_flow_without_a_folder_inherits_the_run_it_is_called_in(make_workspace):
    outer = load(
        make_workspace, own="batch_size: 2\nmodel_name: outer", shared="team: blue", schema=FlowConfig
    )
    workspace = find_workspace()
    inner = load_parameters(workspace, flow_name="inner", folder=None, inherited=outer)
    assert inner.values == outer.values
    assert inner.source_of("batch_size") == "flows/my_flow/parameters.yaml"

    class InnerConfig(BaseModel):
        batch_size: int
        extra_step: bool = False

    typed = load_parameters(workspace, flow_name="inner", folder=None, schema=InnerConfig, inherited=outer)
    assert typed.model == InnerConfig(batch_size=2)
    assert typed.values == {**outer.values, "extra_step": False}

    class Strict(BaseModel):
        model_name: int

    with pytest.raises(
        ConfigValidationError, match=r"flow 'inner'.*\n  model_name: .*from flows/my_flow/parameters.yaml"
    ):
        load_parameters(workspace, flow_name="inner", folder=None, schema=Strict, inherited=outer)


def test_flow_without_a_folder_alone_has_global_and_defaults(make_workspace):
    workspace = make_workspace({"config/global.yaml": "batch_size: 4"})

    class Alone(BaseModel):
        batch_size: int
        other: int = 1

    assert load_parameters(workspace, flow_name="x", folder=None, schema=Alone).values == {
        "batch_size": 4,
        "other": 1,
    }
    with pytest.raises(ConfigValidationError, match=r"model_name: .*set it in config/global\.yaml"):
        load_parameters(workspace, flow_name="x", folder=None, schema=FlowConfig)


def test_broken_file_is_named(make_workspace):
    with pytest.raises(ConfigError, match=r"^flows/my_flow/parameters\.yaml:1:4: the \[ opened here"):
        load(make_workspace, own="a: [1")
    with pytest.raises(ConfigError, match=r"^config/global\.yaml:1:1: holds a list"):
        load(make_workspace, shared="- 1")


def test_other_flows_parameters_are_merged_with_global(make_workspace):
    workspace = make_workspace(
        {
            "config/global.yaml": "model: {name: shared, size: 1}",
            "flows/upstream/parameters.yaml": "model: {name: own}",
            "flows/empty/flow.py": "",
        }
    )
    assert load_flow_parameters(workspace, "upstream") == {"model": {"name": "own", "size": 1}}
    assert load_flow_parameters(workspace, "empty") == {"model": {"name": "shared", "size": 1}}
    assert load_flow_parameters(workspace, "nobody") is None
    assert load_flow_parameters(workspace, "../flows/upstream") is None


def test_other_flows_parameters_are_read_again_when_files_or_variables_change(make_workspace, monkeypatch):
    monkeypatch.setenv("SIZE", "1")
    workspace = make_workspace({"flows/upstream/parameters.yaml": "size: ${SIZE}"})
    assert load_flow_parameters(workspace, "upstream") == {"size": 1}
    time.sleep(0.15)  # until the file's time stamp can be trusted
    first = load_flow_parameters(workspace, "upstream")
    assert load_flow_parameters(workspace, "upstream") is first
    monkeypatch.setenv("SIZE", "2")
    assert load_flow_parameters(workspace, "upstream") == {"size": 2}
    make_workspace({"flows/upstream/parameters.yaml": "size: ${SIZE}3"})
    assert load_flow_parameters(workspace, "upstream") == {"size": 23}
    make_workspace({"config/global.yaml": "more: true"})
    assert load_flow_parameters(workspace, "upstream") == {"size": 23, "more": True}


@pytest.mark.parametrize(
    ("text", "path", "value"),
    [
        ("batch_size=3", ("batch_size",), 3),
        ("model.sampling.temperature=0.5", ("model", "sampling", "temperature"), 0.5),
        ("on=true", ("on",), True),
        ("name=gpt-4", ("name",), "gpt-4"),
        ("name='3'", ("name",), "3"),
        ("query=a=b", ("query",), "a=b"),
        ("empty=", ("empty",), None),
        ('empty=""', ("empty",), ""),
        (" spaced = 1", ("spaced",), 1),
        ('prices."gpt-4.1".in=1', ("prices", "gpt-4.1", "in"), 1),
        ("'a=b'=c", ("a=b",), "c"),
        ('file_paths=["docs/**/*.md"]', ("file_paths",), ["docs/**/*.md"]),
        ("m={a: 1}", ("m",), {"a": 1}),
        ("date=2024-01-31", ("date",), "2024-01-31"),
        ("text=${NOT_A_VARIABLE}", ("text",), "${NOT_A_VARIABLE}"),
    ],
)
def test_override_is_a_dotted_key_and_a_yaml_value(text, path, value):
    assert parse_override(text) == (path, value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("batch_size", "'batch_size' sets no parameter: write key=value"),
        ("=3", "'=3' sets no parameter"),
        ("a..b=3", "'a..b=3' sets no parameter"),
        ("glob=*.md", r"The value of glob cannot be read as YAML: a plain text cannot begin with \*"),
        ("text=a: b: c", "The value of text cannot be read as YAML: .* A text goes in quotes"),
        ("answer=no", 'The value of answer .*: no may mean false or the text "no"'),
    ],
)
def test_malformed_override_is_an_error_of_use(text, message):
    with pytest.raises(UsageError, match=message):
        parse_override(text)


def test_overrides_nest_and_the_last_of_one_key_counts():
    assert overrides_of(["a.b=1", "a.c=2", "d=3", "d=4"]) == {"a": {"b": 1, "c": 2}, "d": 4}
    assert overrides_of(["a={b: 1}", "a.b=2"]) == {"a": {"b": 2}}
    assert overrides_of([]) == {}


@pytest.mark.parametrize("texts", [["a=1", "a.b=2"], ["a.b=2", "a=1"]])
def test_key_with_a_value_and_keys_inside_is_an_error_of_use(texts):
    with pytest.raises(UsageError, match="set to a single value"):
        overrides_of(texts)


class Inner(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    batch_size: int = Field(3, alias="batch-size")


class Spelled(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    top_k: int = Field(1, validation_alias=AliasChoices("top-k", "topK"))
    inner: Inner = Inner()
    several: list[Inner] = []
    by_name: dict[str, Inner] = {}
    words: list[str] = []


@pytest.mark.parametrize(
    ("file", "text", "path", "value"),
    [
        ("top-k: 5", "top_k=7", "top_k", 7),
        ("topK: 5", "top-k=7", "top_k", 7),
        ("top_k: 5", "topK=7", "top_k", 7),
        ("inner: {batch-size: 5}", "inner.batch_size=7", "inner.batch_size", 7),
        ("inner: {batch_size: 5}", "inner.batch-size=7", "inner.batch_size", 7),
        ("several: [{batch-size: 5}, {batch-size: 6}]", "several.1.batch_size=7", "several.1.batch_size", 7),
        ("by_name: {a.b: {batch-size: 5}}", "by_name.a.b.batch_size=7", "by_name.a.b.batch_size", 7),
    ],
)
def test_an_override_counts_in_whichever_spelling(make_workspace, file, text, path, value):
    found = load(make_workspace, file, schema=Spelled, **overrides_of([text]))
    assert find(found.values, path.split(".")) == value
    assert find(found.model, path.split(".")) == value


def test_the_flows_own_spelling_wins_over_that_of_all_flows(make_workspace):
    assert load(make_workspace, "top_k: 2", "top-k: 1", Spelled).values["top_k"] == 2


FILE = """
models: [{name: a}, {name: b}]
labels: {0: neg, 1: pos}
flags: {true: 1, null: 2, 1.5: 3}
prices: {gpt-4.1: {in: 2}, gpt-4: {in: 30}}
grid: [[1, 2], [3, 4]]
"""


@pytest.mark.parametrize(
    ("texts", "key", "value"),
    [
        (["models.0.name=x"], "models", [{"name": "x"}, {"name": "b"}]),
        (["models.1.size=3", "models.0={name: c}"], "models", [{"name": "c"}, {"name": "b", "size": 3}]),
        (["models=[]"], "models", []),
        (["grid.1.0=9"], "grid", [[1, 2], [9, 4]]),
        (["labels.0=x"], "labels", {0: "x", 1: "pos"}),
        (["labels.2=x"], "labels", {0: "neg", 1: "pos", 2: "x"}),
        (["flags.true=7", "flags.null=8"], "flags", {True: 7, None: 8, 1.5: 3}),
        (["flags.1.5=9"], "flags", {True: 1, None: 2, 1.5: 9}),
        (["prices.gpt-4.1.in=1"], "prices", {"gpt-4.1": {"in": 1}, "gpt-4": {"in": 30}}),
        (["prices.gpt-4.in=1"], "prices", {"gpt-4.1": {"in": 2}, "gpt-4": {"in": 1}}),
        (
            ['prices."o4.mini".in=1'],
            "prices",
            {"gpt-4.1": {"in": 2}, "gpt-4": {"in": 30}, "o4.mini": {"in": 1}},
        ),
    ],
)
def test_an_override_means_what_is_there(make_workspace, texts, key, value):
    assert load(make_workspace, FILE, **overrides_of(texts)).values[key] == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "models.2.name=x",
            r"models.2 cannot be set: models is a list, whose elements are models.0 to models.1",
        ),
        ("models.name=x", r"models.name cannot be set: models is a list"),
        ("models=a,b", r"models is a list, and 'a,b' is a string: write models=\[a,b\]"),
        ("grid.0=a", r"grid.0 is a list, and 'a' is a string"),
    ],
)
def test_an_override_that_a_list_cannot_take_is_refused(make_workspace, text, message):
    with pytest.raises(UsageError, match=message):
        load(make_workspace, FILE, **overrides_of([text]))


def test_a_string_for_a_list_of_the_schema_says_how_lists_are_written(make_workspace):
    with pytest.raises(
        ConfigValidationError, match=r"words: .*got 'a,b', from run-time override, write \[a,b\]"
    ):
        load(make_workspace, "words: [c]", schema=Spelled, **overrides_of(["words=a,b"]))


def test_a_misspelled_key_under_a_key_with_a_dot_is_told(make_workspace):
    overrides = overrides_of(["by_name.a.b.batch_sise=7"])
    with pytest.raises(ConfigValidationError, match=r"by_name.a.b.batch_sise: unknown key"):
        load(make_workspace, "by_name: {a.b: {batch-size: 5}}", schema=Spelled, **overrides)
