"""Tasks: submitted, previewed, listed and watched."""

import time

import grpc

from .checks import INVALID, NOT_FOUND, OTHER_REQUEST, check, refusal, refused
from .steps import command, ended, events, get, submit

TWO_WAVES = {"waves": [{"count": 1}, {"rest": True}], "fail_threshold": {"count": 2}}
# Does not start before an approval.
HELD = {"waves": [{"rest": True}], "approval": {"before_waves": [1]}}


def submitted(admin, desktops):
    """A task that succeeds everywhere."""
    spec = {"desktop_ids": desktops, "command": command("echo on $GRAYWAVE_DESKTOP_ID"), "rollout": TWO_WAVES}
    preview = admin("TaskService", "PreviewTask", task=spec, with_desktop_ids=True)
    check("a preview has the waves", [wave["size"] for wave in preview["waves"]] == [1, 5], preview)
    named = [desktop for wave in preview["waves"] for desktop in wave["desktop_ids"]]
    check("  their members", sorted(named) == desktops and preview["target_count"] == 6, preview)
    without = admin("TaskService", "PreviewTask", task=spec)
    check("  which are listed only on request", "desktop_ids" not in without["waves"][0], without)

    seeded = spec | {"rollout": TWO_WAVES | {"canary": {"seed": preview["seed"]}}}
    task = admin("TaskService", "SubmitTask", task=seeded, idempotency_key="the-same")["task"]
    hashes = [(it["plan_hash"], it["script_hash"]) for it in (preview, task)]
    check("the task is that of the preview", hashes[0] == hashes[1] and len(hashes[0][0]) == 64, hashes)
    again = admin("TaskService", "SubmitTask", task=seeded, idempotency_key="the-same")["task"]
    check("an idempotency key creates one task", again["task_id"] == task["task_id"])
    refused(
        "an idempotency key belongs to one request",
        OTHER_REQUEST,
        lambda: admin("TaskService", "SubmitTask", task=spec, idempotency_key="the-same"),
    )
    return task["task_id"]


def wrong_tasks(admin, desktops):
    spec = {"desktop_ids": desktops, "command": command("true")}
    for what, kind, field, wrong in [
        ("a wave of no targets", INVALID, "task.rollout.waves[0].count", {"rollout": {"waves": [{"count": 0}]}}),
        ("a gray wave larger than the task", INVALID, "task.gray_count", {"gray_count": 7}),
        ("a task without work", INVALID, "task.scripts", {"command": None}),
        ("a desktop that does not exist", NOT_FOUND, "task.desktop_ids", {"desktop_ids": ["nowhere"]}),
    ]:
        for method in ("SubmitTask", "PreviewTask"):
            task = spec | wrong
            refused(f"{what}: {method}", kind, lambda: admin("TaskService", method, task=task), field)
    refused(
        "an invalid idempotency key",
        INVALID,
        lambda: admin("TaskService", "SubmitTask", task=spec, idempotency_key="a key"),
        "idempotency_key",
    )


def watched(admin, task_id):
    told = list(admin("TaskService", "WatchTask", task_id=task_id))
    kinds = [message["event"]["kind"] for message in told if "event" in message]
    check("it is watched to its end", (kinds[0], kinds[-1]) == ("EVENT_KIND_ACCEPTED", "EVENT_KIND_ENDED"), kinds)
    check("  with its progress", any("progress" in message for message in told), told)
    places = [int(message["event"]["event_id"]) for message in told if "event" in message]
    check("  in order", places == sorted(set(places)), places)
    rest = list(admin("TaskService", "WatchTask", task_id=task_id, cursor=told[0]["cursor"]))
    going_on = [message["event"]["kind"] for message in rest if "event" in message]
    check("the stream resumes from a cursor", going_on == kinds[1:], rest)
    over = list(admin("TaskService", "WatchTask", task_id=task_id, cursor=told[-1]["cursor"]))
    check("  and is empty after the last event", over == [], over)
    task = get(admin, task_id)
    check("everything succeeded", task["status"] == "TASK_STATUS_SUCCESS", task)
    check("  everywhere", task["records"] == {"success": "6"} and task["target_count"] == 6, task)
    wrong = lambda: admin("TaskService", "WatchTask", task_id=task_id, cursor="nowhere")
    refused("an unknown cursor is refused", INVALID, wrong, "cursor")


def deadline(admin, desktops):
    task_id = submit(admin, desktops, "true", HELD)["task_id"]
    begun = time.monotonic()
    error = refusal(lambda: admin("TaskService", "WatchTask", task_id=task_id, wait_s=0.5))
    took = time.monotonic() - begun
    check("a deadline of half a second ends the stream", error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error)
    check("  and not earlier", 0.4 < took < 5, took)
    admin("TaskService", "StopTask", task_id=task_id)
    task = ended(admin, task_id)
    check("a task stopped before its start never runs", task["records"] == {"skipped": "6"}, task)
    check("  and has an event for its end", events(admin, task_id)[-1]["kind"] == "EVENT_KIND_ENDED")


def listed(admin, task_id):
    pages = list(admin.pages("TaskService", "ListTasks", "tasks", 1))
    ids = [task["task_id"] for page in pages for task in page]
    check("tasks are listed in pages", all(len(page) <= 1 for page in pages), pages)
    check("  newest first", len(ids) == 2 and ids[1] == task_id, ids)
    for status, expected in [("SUCCESS", [task_id]), ("STOPPED", ids[:-1]), ("HALTED", [])]:
        found = admin("TaskService", "ListTasks", statuses=[f"TASK_STATUS_{status}"]).get("tasks", [])
        check(f"  by status {status}", [task["task_id"] for task in found] == expected, found)
    both = ["TASK_STATUS_STOPPED", "TASK_STATUS_SUCCESS"]
    check("  by two statuses", len(admin("TaskService", "ListTasks", statuses=both)["tasks"]) == len(ids))
    check("  by the caller and first digits",
          len(admin("TaskService", "ListTasks", mine=True, task_id_prefix=ids[0])["tasks"]) == 1)
    refused("an unknown status", INVALID, lambda: admin("TaskService", "ListTasks", statuses=[99]), "statuses")


def targets(admin, desktops, task_id):
    pages = list(admin.pages("TaskService", "ListTargets", "targets", 4, task_id=task_id))
    found = [target for page in pages for target in page]
    check("targets are listed in pages", [len(page) for page in pages] == [4, 2], pages)
    check("  in the order of the plan", [it.get("ordinal", 0) for it in found] == list(range(6)), found)
    waves = [it["wave"] for it in found]
    check("  with their waves", sorted(it["desktop_id"] for it in found) == desktops and waves == [1] + [2] * 5, found)


def missing(admin):
    """A malformed id yields the same error as an unknown task."""
    for task_id in ("0" * 32, "nothing"):
        for method in ("GetTask", "WatchTask", "PauseTask", "SetConcurrency", "StopTask", "RetryTask", "ListTargets"):
            call = lambda: admin("TaskService", method, task_id=task_id)
            refused(f"task {task_id[:7]} is not found: {method}", NOT_FOUND, call)


def everything(admin, desktops):
    task_id = submitted(admin, desktops)
    wrong_tasks(admin, desktops)
    watched(admin, task_id)
    deadline(admin, desktops)
    listed(admin, task_id)
    targets(admin, desktops, task_id)
    missing(admin)
