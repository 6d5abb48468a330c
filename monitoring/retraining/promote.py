"""What becomes of a version that passed its gates? A language model begins its way as a canary."""

from __future__ import annotations

from monitoring.retraining.plan import Promoted, Registered
from monitoring.retraining.work import Work
from monitoring.rollout import records as rollouts
from monitoring.rollout.plan import plan_of
from monitoring.rollout.publish import publish


async def promote(work: Work) -> Promoted:
    """Start the rollout of what was registered; a refused version starts none.

    Limits: a detector is no upstream, so nobody rolls it out: its directory goes into the settings.
    Errors: ConfigError while another rollout of the model is open.
    """
    registered = work.before("register", Registered)
    if registered.stage == "refused":
        return Promoted(None, "a gate refused it")
    if work.plan.kind == "detector":
        return Promoted(None, "set the detector's option `directory` to its weights to serve it")
    open_one = await rollouts.latest(work.engine, work.plan.model)
    if open_one is not None and open_one.candidate == registered.name:
        # The step was cut between the start and its record.
        return Promoted(open_one.id, "its rollout has started")
    settings = work.settings
    if settings.versions_dir is not None:
        # The first conversation may ask for it.
        await publish(work.engine, settings.versions_dir, registered.name)
    started = await rollouts.start(
        work.engine,
        model=work.plan.model,
        champion=f"{work.plan.model}@{work.plan.base_version}",
        candidate=registered.name,
        who="retraining",
        why=f"run {work.run.id}: {work.run.reason}",
        now=work.now(),
        plan=plan_of(settings.rollout_plan),
    )
    return Promoted(started.id, "its rollout has started")
