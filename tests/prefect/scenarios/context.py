"""What a run logs, and what it knows of itself."""

from __future__ import annotations

import asyncio

from tests.prefect.scenarios import SCENARIOS, in_flow, outcome, scenario


def _prints(flow_prints, task_prints):
    def run(p):
        options = {} if task_prints is None else {"log_prints": task_prints}

        @p.task(**options)
        def say(word):
            print(f"task says {word}")

        @p.flow(**({} if flow_prints is None else {"log_prints": flow_prints}))
        def child():
            print("child says hello")
            say("within the child")

        @p.flow(**({} if flow_prints is None else {"log_prints": flow_prints}))
        def main():
            print("flow says hello")
            say("called")
            say.submit("submitted").wait()
            say.map(["mapped"]).wait()  # one: Prefect loses prints of two at a time
            child()

        return main()

    return run


for _of_flow in (None, True, False):
    for _of_task in (None, True, False):
        SCENARIOS[f"prints_{_of_flow}_of_flow_{_of_task}_of_task"] = _prints(_of_flow, _of_task)


@scenario
def prints_of_async_tasks(p):
    @p.task
    async def say(word):
        print(f"task says {word}")

    @p.flow(log_prints=True)
    async def main():
        await say("called")
        say.submit("submitted").wait()

    return asyncio.run(main())


@scenario
def run_loggers(p):
    @p.task
    def work(x):
        p.get_run_logger().info("task %s", x)
        p.get_run_logger().warning("careful")

    @p.flow
    def main():
        p.get_run_logger().info("flow")
        work(1)
        work.submit(2).wait()
        work.map([3, 4]).wait()

    return main()


@scenario
def run_logger_outside_of_a_run(p):
    return type(outcome(p.get_run_logger)).__name__


@scenario
def runtime_of_a_flow(p):
    runtime = p.module("runtime")

    @p.flow(name="Runs", flow_run_name="run of {x}", version="3")
    def main(x, y=2):
        run = runtime.flow_run
        return (
            run.name,
            run.flow_name,
            run.flow_version,
            run.parameters,
            run.run_count,
            run.parent_flow_run_id,
        )

    return main(1)


@scenario
def runtime_of_a_task(p):
    runtime = p.module("runtime")

    @p.task(name="Works", task_run_name="work on {x}", tags=["tag"])
    def work(x, y=2):
        run = runtime.task_run
        return run.name, run.task_name, sorted(run.tags), run.parameters, run.run_count

    return in_flow(p, lambda: [work(1), work.submit(2).result(), work.map([3, 4], y=5).result()])


@scenario
def names_of_task_runs_by_a_function(p):
    runtime = p.module("runtime")

    def name():
        return f"named {runtime.task_run.parameters['x']}"

    @p.task(task_run_name=name)
    def work(x):
        return runtime.task_run.name

    return in_flow(p, lambda: [work(1), work.submit(2).result()])


@scenario
def tags_of_runs(p):
    runtime = p.module("runtime")

    @p.task(tags=["own"])
    def work():
        return sorted(runtime.task_run.tags)

    @p.flow
    def main():
        with p.tags("inner"):
            return work(), sorted(runtime.flow_run.tags)

    with p.tags("outer"):
        return main()


@scenario
def context_of_a_run(p):
    context = p.module("context")

    @p.task(name="work")
    def work(x):
        found = context.TaskRunContext.get()
        return found.task.name, found.parameters, context.FlowRunContext.get().flow.name

    @p.flow(name="outer")
    def main():
        found = context.FlowRunContext.get()
        return found.flow.name, found.parameters, work(1)

    return main()


@scenario
def parent_of_a_subflow(p):
    runtime = p.module("runtime")

    @p.flow
    def child():
        return runtime.flow_run.parent_flow_run_id

    @p.flow
    def main():
        return child() == runtime.flow_run.id

    return main()
