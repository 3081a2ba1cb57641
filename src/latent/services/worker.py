"""
A worker: takes due runs from a pool of Prefect's, starts a process for each, and ends within a bound.

It is Prefect's worker for processes, with three differences: runs are decided about before they begin
(`due_runs`), they start in the workspace that was deployed, and a worker that is told to end hands over what
it cannot finish.
"""

from __future__ import annotations

import os
import signal
import tempfile
import time
from contextlib import nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import UUID, uuid4

import anyio
from prefect.client.orchestration import get_client
from prefect.client.schemas.objects import WorkPool
from prefect.client.schemas.responses import WorkerFlowRunResponse
from prefect.flows import load_flow_from_flow_run
from prefect.runner._flow_run_executor import FlowRunExecutor, FlowRunExecutorContext
from prefect.runner._starter_engine import EngineCommandStarter
from prefect.workers.process import ProcessWorker, ProcessWorkerResult

from latent.errors import LatentError
from latent.services import due_runs
from latent.services.deployed import deployed_from, workspace_with_code

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun
    from prefect.runner._process_manager import ProcessHandle
    from prefect.workers.process import ProcessJobConfiguration

    from latent.config import Workspace

FINISH_SHARE = 0.5
"""The part of the time to end in which runs may finish by themselves; then their rows in progress may."""

_POLL_SECONDS = 0.1
_KILL_SECONDS = 5.0
"""How long after the bound the server is told of runs whose processes were killed."""


@dataclass
class _Active:
    """A run whose process this worker started."""

    flow_run: FlowRun
    handle: ProcessHandle
    context: FlowRunExecutorContext


class Worker(ProcessWorker):
    """Runs of a work pool, each in a process, on this machine."""

    def __init__(self, workspace: Workspace, pool: str, *, name: str | None = None, limit: int | None = None):
        """
        Args:
            workspace: Where runs find their code, unless they were deployed from another one that is here.
            limit: Runs at the same time; None: as many as are due.
        """
        # No prefetching: a run that is not due yet may still be superseded.
        super().__init__(pool, name=name, limit=limit, prefetch_seconds=0, create_pool_if_not_found=False)
        self.workspace = workspace
        self.is_draining = False
        self._is_hurried = False
        self._active: dict[UUID, _Active] = {}
        self._sync_client: SyncPrefectClient = get_client(sync_client=True)

    @classmethod
    def __dispatch_key__(cls) -> str:
        return f"latent-{cls.__name__.lower()}"  # Prefect's own worker stays the one of its type

    async def work(self, *, drain_seconds: float, say: Callable[[str], None], health: bool = False) -> None:
        """
        Take runs until the process is told to end (SIGTERM, Ctrl-C), and then end within `drain_seconds`.

        When it is told twice, it ends at once.
        """
        with self._sync_client:
            await self._work(drain_seconds, say, health)
        say(f"Worker {self.name!r} has ended.")

    async def _work(self, drain_seconds: float, say: Callable[[str], None], health: bool) -> None:
        async with anyio.create_task_group() as group:

            async def until_told() -> None:
                await self.start(with_healthcheck=health, printer=say)

            async def listen() -> None:
                with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
                    async for number in signals:
                        if self.is_draining:
                            self._is_hurried = True
                            continue
                        self.is_draining = True
                        say(f"{signal.Signals(number).name}: {self._ending(drain_seconds)}")
                        group.start_soon(end)

            async def end() -> None:
                await self._drain(drain_seconds)
                group.cancel_scope.cancel()

            group.start_soon(listen)
            group.start_soon(until_told)

    def _ending(self, drain_seconds: float) -> str:
        if not self._active:
            return "nothing runs, the worker ends."
        return (
            f"no run begins any more; {len(self._active)} under way have {drain_seconds:g} s, "
            "and what is not finished then is handed over. A second signal ends it at once."
        )

    async def _get_scheduled_flow_runs(self) -> list[WorkerFlowRunResponse]:
        """Those of the due runs that go; the base class starts them."""
        if self.is_draining:
            return []
        due = [each for each in await self._due() if each.flow_run.id not in self._submitting_flow_run_ids]
        if not due:
            return []
        going = await anyio.to_thread.run_sync(self._choose, [each.flow_run for each in due])
        return [] if self.is_draining else [each for each in due if each.flow_run.id in going]

    async def _due(self) -> Sequence[WorkerFlowRunResponse]:
        return await super()._get_scheduled_flow_runs()

    def _choose(self, due: Sequence[FlowRun]) -> set[UUID]:
        chosen = due_runs.choose(self._sync_client, due)
        for run, reason in chosen.skipped:
            self._logger.info("Skipped %r: %s", run.name, reason)
        return {run.id for run in chosen.going if not self._is_refused(run)}

    def _is_refused(self, run: FlowRun) -> bool:
        """Whether this machine has other code than what was deployed; the run then ends, and says so."""
        if run.deployment_id is None:
            return False
        try:
            deployment = self._sync_client.read_deployment(run.deployment_id)
            if (deployed := deployed_from(deployment.pull_steps)) is not None:
                workspace_with_code(self.workspace, *deployed)
        except LatentError as error:
            self._logger.error("Refused %r: %s", run.name, error)
            due_runs.fail(self._sync_client, run.id, str(error))
            return True
        return False

    async def run(
        self,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        task_status: anyio.abc.TaskStatus[int] | None = None,
    ) -> ProcessWorkerResult:
        """Start the process of a run and wait for its end; hand the run over when that was interrupted."""
        working_dir = configuration.working_dir
        folder = nullcontext(str(working_dir)) if working_dir else tempfile.TemporaryDirectory("latent")
        try:
            with folder as cwd:
                async with FlowRunExecutorContext() as context:
                    executor = self._executor(context, flow_run, configuration, Path(cwd).resolve())
                    status = await self._execute(context, executor, flow_run, task_status)
                if self.is_draining:
                    await self._hand_over(flow_run)
        finally:
            # Only now: the worker ends when nothing is active any more.
            self._active.pop(flow_run.id, None)
        return status

    def _executor(
        self,
        context: FlowRunExecutorContext,
        flow_run: FlowRun,
        configuration: ProcessJobConfiguration,
        cwd: Path,
    ) -> FlowRunExecutor:
        starter = EngineCommandStarter(
            command=configuration.command,
            cwd=cwd,
            env=self._environment(configuration),
            stream_output=configuration.stream_output,
            control_channel=context.control_channel,
            # A Ctrl-C at the worker's terminal must not reach the run before the worker has decided.
            isolate_process_group=os.name != "nt",
            env_overrides_settings=True,
        )
        executor = context.create_executor(
            flow_run, starter, resolve_flow=load_flow_from_flow_run, propose_submitting=False
        )
        concluded = executor._get_attempt_conclusion

        def conclusion(run_id: UUID) -> Any:
            # The end of a process that the worker itself interrupted is not a crash.
            return concluded(run_id) or (self.is_draining or None)

        executor._get_attempt_conclusion = conclusion
        return executor

    async def _execute(
        self,
        context: FlowRunExecutorContext,
        executor: FlowRunExecutor,
        flow_run: FlowRun,
        task_status: anyio.abc.TaskStatus[int] | None,
    ) -> ProcessWorkerResult:
        ended = None

        async def execute(*, task_status: anyio.abc.TaskStatus[ProcessHandle]) -> None:
            nonlocal ended
            ended = await executor.submit(task_status=task_status)

        async with anyio.create_task_group() as group:
            handle = await group.start(execute)
            self._active[flow_run.id] = _Active(flow_run, handle, context)
            if task_status is not None:
                task_status.started(handle.pid)
        if ended is None or ended.status_code is None:
            raise RuntimeError("The process of the flow run did not start.")
        return ProcessWorkerResult(status_code=ended.status_code, identifier=str(ended.handle.pid))

    def _environment(self, configuration: ProcessJobConfiguration) -> dict[str, str | None]:
        """What the process of a run is told beside Prefect's own: where its workspace lies here."""
        environment: dict[str, str | None] = dict(configuration.env)
        deployment = configuration._related_objects.get("deployment")
        if deployment is not None and (deployed := deployed_from(deployment.pull_steps)) is not None:
            workspace = workspace_with_code(self.workspace, *deployed)
            environment["LATENT_WORKSPACE"] = str(workspace.root)
        return environment

    async def _drain(self, seconds: float) -> None:
        """Let runs finish, then their rows in progress, and at the bound end what is left."""
        told = time.monotonic()
        await self._until_ended(told + seconds * FINISH_SHARE)
        for active in list(self._active.values()):
            await self._interrupt(active)
        await self._until_ended(told + seconds)
        for active in list(self._active.values()):
            if active.handle.returncode is None:
                with suppress(OSError):
                    active.handle.hard_kill()
        self._is_hurried = False
        await self._until_ended(time.monotonic() + _KILL_SECONDS)

    async def _until_ended(self, deadline: float) -> None:
        while (
            (self._active or self._submitting_flow_run_ids)
            and time.monotonic() < deadline
            and not self._is_hurried
        ):
            await anyio.sleep(_POLL_SECONDS)

    async def _interrupt(self, active: _Active) -> None:
        """Tell a run to begin nothing more; that it is rescheduled, so that it leaves its state to us."""
        if active.handle.returncode is not None:
            return
        await active.context.control_channel.signal(active.flow_run.id, "reschedule")
        if active.handle.pid is not None:
            with suppress(ProcessLookupError):
                # The process alone: what it has started is ended by itself.
                os.kill(active.handle.pid, signal.SIGTERM)

    async def _hand_over(self, flow_run: FlowRun) -> None:
        """Schedule a run that has not ended, so that another worker goes on with it."""
        with anyio.CancelScope(shield=True), anyio.move_on_after(_KILL_SECONDS, shield=True):
            now_there = await self.client.read_flow_run(flow_run.id)
            state = now_there.state
            if state is not None and state.is_final() and not state.is_crashed():
                return
            reason = f"The worker {self.name!r} was stopped; the next one goes on with what is remembered."
            await anyio.to_thread.run_sync(
                due_runs.put_back, self._sync_client, flow_run.id, due_runs.HANDED_OVER, reason
            )
            self._logger.info("Handed over %r.", flow_run.name)


class ServingWorker(Worker):
    """Runs of chosen deployments, wherever their pool is: a worker without a pool."""

    def __init__(
        self, workspace: Workspace, deployments: Sequence[UUID], *, limit: int | None = None
    ) -> None:
        super().__init__(workspace, "none", limit=limit)
        self._deployments = list(deployments)

    async def sync_with_backend(self) -> None:
        """No pool knows of this worker; runs start as in a pool of processes without settings."""
        if self._work_pool is None:
            template = ProcessWorker.get_default_base_job_template()
            self._record_work_pool_snapshot(
                WorkPool(
                    id=uuid4(),
                    name="none",
                    type="process",
                    default_queue_id=uuid4(),
                    base_job_template=template,
                )
            )
        self._has_successfully_synced = True

    async def _due(self) -> Sequence[WorkerFlowRunResponse]:
        runs = await self.client.read_flow_runs(flow_run_filter=due_runs.due_of(self._deployments))
        return [
            WorkerFlowRunResponse(work_pool_id=uuid4(), work_queue_id=uuid4(), flow_run=run) for run in runs
        ]
