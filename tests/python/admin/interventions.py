"""Interventions in running tasks."""

from .checks import CONFLICT, FORBIDDEN, INVALID, NOT_FOUND, check, look_until, refused
from .steps import Door, ended, events, get, person, records, submit

ONE_AND_REST = [{"count": 1}, {"rest": True}]


def running(admin, task_id, number):
    """The running records, once there are this many."""
    look = lambda: records(admin, task_id, status="RECORD_STATUS_RUNNING")
    return look_until(f"  {number} run", lambda: len(found := look()) == number and found)


def paused(admin, desktops):
    rollout = {"waves": [{"rest": True}], "approval": {"before_waves": [1]}}
    task_id = submit(admin, desktops, "true", rollout)["task_id"]
    change = lambda method, **more: admin("TaskService", method, task_id=task_id, **more)["task"]
    check("a task is paused", change("PauseTask", idempotency_key="a-pause").get("paused"))
    check("  a key pauses it once", change("PauseTask", idempotency_key="a-pause").get("paused"))
    task = change("ApproveWave", wave=1)
    held = (task["status"], "admitted" in task["waves"][0], "waiting_for" in task)
    check("  no target is admitted", held == ("TASK_STATUS_WAITING", False, True), task)
    check("  it is resumed", "paused" not in change("ResumeTask"))
    check("  and runs", ended(admin, task_id)["status"] == "TASK_STATUS_SUCCESS")
    kinds = [event["kind"] for event in events(admin, task_id)]
    check("  in its events", [kinds.count(f"EVENT_KIND_{it}") for it in ("PAUSED", "RESUMED")] == [1, 1], kinds)
    for method in ("PauseTask", "ResumeTask"):
        refused(f"an ended task refuses {method}", CONFLICT, lambda: change(method))


def approved(admin, desktops):
    """An approval by another principal than the author, bound to the reviewed plan."""
    other = person(admin, "approver", "operator")
    approval = {"before_waves": [1, 2], "distinct_approver": True}
    task = submit(admin, desktops, "true", {"waves": ONE_AND_REST, "approval": approval})
    hashes = {"plan_hash": task["plan_hash"], "script_hash": task["script_hash"]}

    def approve(by, wave, **more):
        return by("TaskService", "ApproveWave", task_id=task["task_id"], wave=wave, **more)["task"]["waves"][wave - 1]

    refused("the author may not approve", FORBIDDEN, lambda: approve(admin, 1))
    refused("  a wave cannot be approved early", CONFLICT, lambda: approve(other, 2, **hashes))
    refused("  an unknown wave is not found", NOT_FOUND, lambda: approve(other, 3, **hashes))
    for name in hashes:
        wrong = hashes | {name: "0" * 64}
        refused(f"  another {name} is refused", CONFLICT, lambda: approve(other, 1, **wrong))
    check("  another principal may", approve(other, 1, **hashes)["approved_by"] == "approver")
    closed = lambda: get(admin, task["task_id"])["waves"][0]["status"] == "WAVE_STATUS_CLOSED"
    look_until("  the wave runs", closed)
    check("  the next one waits", "admitted" not in get(admin, task["task_id"])["waves"][1])
    check("  until it is approved", "approve_time" in approve(other, 2, **hashes))
    check("  and runs", ended(admin, task["task_id"])["status"] == "TASK_STATUS_SUCCESS")
    who = [event["actor"] for event in events(admin, task["task_id"]) if event["kind"] == "EVENT_KIND_WAVE_APPROVED"]
    check("  its events name the principal", who == ["approver"] * 2, who)


def killed(admin, desktops):
    """Stops one record, then the whole task."""
    with Door() as door:
        task_id = submit(admin, desktops[:3], door.wait())["task_id"]
        one = running(admin, task_id, 3)[0]["record_id"]
        refused("a stop needs a task or a record", INVALID, lambda: admin("TaskService", "StopTask"))
        both = lambda: admin("TaskService", "StopTask", task_id=task_id, record_id=one)
        refused("  but not both", INVALID, both)
        nothing = lambda: admin("TaskService", "StopTask", record_id=f"{task_id}-9-0-1")
        refused("  an unknown task is not found", NOT_FOUND, nothing)
        admin("TaskService", "StopTask", record_id=one)
        status = lambda: admin("RecordService", "GetRecord", record_id=one)["record"]["status"]
        look_until("a record is stopped", lambda: status() == "RECORD_STATUS_STOPPED")
        check("  the other records continue", len(running(admin, task_id, 2)) == 2)
        admin("TaskService", "StopTask", task_id=task_id, mode="STOP_MODE_KILL", idempotency_key="a-stop")
        check("a task is stopped", ended(admin, task_id)["status"] == "TASK_STATUS_STOPPED")
        statuses = [record["status"] for record in records(admin, task_id)]
        check("  running scripts are killed", statuses == ["RECORD_STATUS_STOPPED"] * 3, statuses)


def drained(admin, desktops):
    with Door() as door:
        task_id = submit(admin, desktops, door.wait(), {"waves": ONE_AND_REST})["task_id"]
        running(admin, task_id, 1)
        task = admin("TaskService", "StopTask", task_id=task_id, mode="STOP_MODE_DRAIN")["task"]
        check("a task is drained", task["status"] == "TASK_STATUS_STOPPING" and task["reason"], task)
        check("  running scripts continue", len(running(admin, task_id, 1)) == 1)
        door.open()
        task = ended(admin, task_id)
        check("  to its end", task["status"] == "TASK_STATUS_STOPPED", task)
        check("  and the rest never ran", task["records"] == {"success": "1", "skipped": "5"}, task)


def retried(admin, desktops):
    rollout = {"waves": [{"count": 2, "fail_threshold": {"count": 2}}, {"rest": True}]}
    task_id = submit(admin, desktops, "[ $GRAYWAVE_ATTEMPT != 1 ]", rollout)["task_id"]
    check("a failing task is halted", ended(admin, task_id)["status"] == "TASK_STATUS_HALTED")
    retry = lambda **more: admin("TaskService", "RetryTask", **more)["task"]
    failed = records(admin, task_id, status="RECORD_STATUS_FAILED")[0]
    one = retry(record_id=failed["record_id"])
    check("a record is retried", (one["target_count"], one["attempt"]) == (1, 2), one)
    check("  as a new task", one["retry_of"]["task_id"] == task_id != one["task_id"], one)
    check("  it succeeds now", ended(admin, one["task_id"])["status"] == "TASK_STATUS_SUCCESS")
    refused("  a record is retried once", CONFLICT, lambda: retry(record_id=failed["record_id"]))
    rest = retry(task_id=task_id, idempotency_key="a-retry")
    again = retry(task_id=task_id, idempotency_key="a-retry")
    check("the rest of the task is retried", rest["target_count"] == 5, rest)
    check("  a key retries it once", rest["task_id"] == again["task_id"])
    check("  it succeeds now", ended(admin, rest["task_id"])["records"] == {"success": "5"})
    old = get(admin, task_id)
    check("  the old task names both", set(old["retried_by"]) == {one["task_id"], rest["task_id"]}, old)
    refused("a successful task is not retried", CONFLICT, lambda: retry(task_id=rest["task_id"]))


def concurrency(admin, desktops):
    with Door() as door:
        task_id = submit(admin, desktops[:3], door.wait(), {"max_concurrency": 1})["task_id"]
        change = lambda **more: admin("TaskService", "SetConcurrency", task_id=task_id, **more)["task"]
        running(admin, task_id, 1)
        check("more may be in flight", change(max_concurrency=2)["max_concurrency"] == 2)
        running(admin, task_id, 2)
        check("  or without a limit", "max_concurrency" not in change())
        running(admin, task_id, 3)
        refused("  but not 0", INVALID, lambda: change(max_concurrency=0), "max_concurrency")
        door.open()
        check("  it succeeds", ended(admin, task_id)["status"] == "TASK_STATUS_SUCCESS")
    kinds = [event["kind"] for event in events(admin, task_id)]
    check("  its events record both", kinds.count("EVENT_KIND_CONCURRENCY_CHANGED") == 2, kinds)
    refused("an ended task refuses a limit", CONFLICT, change)


def everything(admin, desktops):
    paused(admin, desktops)
    approved(admin, desktops)
    killed(admin, desktops)
    drained(admin, desktops)
    retried(admin, desktops)
    concurrency(admin, desktops)
