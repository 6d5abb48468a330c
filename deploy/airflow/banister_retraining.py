"""The retraining's steps as an Airflow DAG: the same commands as Kubeflow's components call.

Each task is `banister retrain step …` where the worker has Banister (BANISTER_COMMAND says how it
is started there, for instance through `docker run`). The steps share `workspace`, a directory that
all workers reach. A held run (cooldown, another one in flight) gives no id, and the steps then do
nothing. A failed task may be retried: a step goes on where it was cut.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta

from airflow.providers.standard.operators.bash import BashOperator
from airflow.sdk import DAG, Param

BANISTER = os.environ.get("BANISTER_COMMAND", "banister")
STEPS = ("prepare", "tune", "evaluate", "register", "promote")

with DAG(
    dag_id="banister_retraining",
    description="From reviewed exchanges to a gated, registered version",
    schedule="@weekly",
    start_date=datetime(2026, 11, 23, tzinfo=UTC),
    catchup=False,
    # There is one run in flight anyway.
    max_active_runs=1,
    params={
        "run": Param("", type="string", description="A run that is open already, as by an alert"),
        "reason": Param("by the calendar", type="string"),
        "workspace": Param("/var/lib/banister/retraining", type="string"),
        "approval_hours": Param(24.0, type="number", minimum=0),
    },
    default_args={"retries": 2, "retry_delay": timedelta(minutes=5)},
    tags=["banister"],
) as dag:
    before = BashOperator(
        task_id="open",
        # The key is the schedule's own run: a retry of this task opens no second one.
        bash_command=(
            f"{BANISTER} retrain open --run '{{{{ params.run }}}}' --key 'airflow:{{{{ run_id }}}}'"
            " --reason '{{ params.reason }}' --wait-hours {{ params.approval_hours }}"
        ),
        do_xcom_push=True,
    )
    for name in STEPS:
        step = BashOperator(
            task_id=name,
            bash_command=(
                f"{BANISTER} retrain step {name}"
                ' --run \'{{ ti.xcom_pull(task_ids="open") or "" }}\''
                " --workspace '{{ params.workspace }}'"
            ),
        )
        before >> step
        before = step
