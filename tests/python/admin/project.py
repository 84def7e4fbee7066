"""The project, operations outside of projects, and workers."""

from .checks import FORBIDDEN, INVALID, NOT_FOUND, check, look_until, refused
from .steps import command, ended, events, get, person, submit


def frozen(admin, desktops, project_id):
    project = lambda: admin("ProjectService", "GetProject")
    check("the project is shown", project() == {"project_id": project_id, "freeze": {}, "limits": {}}, project())
    operator = person(admin, "freezer", "operator")
    freeze = operator("ProjectService", "FreezeProject", reason="storm", idempotency_key="a-freeze")["freeze"]
    check("an operator freezes it", (freeze["frozen_by"], freeze["reason"]) == ("freezer", "storm"), freeze)
    check("  it is shown", project()["freeze"] == freeze, project())
    again = admin("ProjectService", "FreezeProject", reason="another")["freeze"]
    check("  it is frozen once", again == freeze, again)
    long = lambda: admin("ProjectService", "FreezeProject", reason="x" * 501)
    refused("  a long reason is refused", INVALID, long, "reason")
    task_id = submit(admin, desktops, "true")["task_id"]
    task = get(admin, task_id)
    check("a new task waits", task["status"] == "TASK_STATUS_WAITING" and task["waiting_for"], task)
    refused("an operator does not unfreeze it", FORBIDDEN, lambda: operator("ProjectService", "UnfreezeProject"))
    check("  nothing ran", "admitted" not in get(admin, task_id)["waves"][0])
    thawed = admin("ProjectService", "UnfreezeProject", idempotency_key="a-thaw")["freeze"]
    check("an admin unfreezes it", thawed == project()["freeze"] == {}, thawed)
    check("  and the task continues", ended(admin, task_id)["status"] == "TASK_STATUS_SUCCESS")
    kinds = [event["kind"] for event in events(admin, task_id)]
    check("  its events record it", "EVENT_KIND_UNFROZEN" in kinds, kinds)


def limited(admin):
    """64-bit numbers are strings in JSON, and masks use JSON names."""
    update = lambda mask, **limits: admin("ProjectService", "UpdateLimits", limits=limits, update_mask=mask)["limits"]
    both = update("*", max_in_flight=50, max_running_per_desktop=2)
    check("limits are set", both == {"max_in_flight": "50", "max_running_per_desktop": "2"}, both)
    one = update("maxInFlight", max_in_flight=60, max_running_per_desktop=9)
    check("  those that the mask names", one == {"max_in_flight": "60", "max_running_per_desktop": "2"}, one)
    one = update("maxRunningPerDesktop")
    check("  or removed", one == admin("ProjectService", "GetProject")["limits"] == {"max_in_flight": "60"}, one)
    wrong = lambda: update("maxInFlight", max_in_flight=0)
    refused("  0 is refused", INVALID, wrong, "limits.max_in_flight")
    refused("  a mask names existing fields", INVALID, lambda: update("frozen"), "update_mask")
    check("  all are removed", update("*") == {})


def guarded(admin, desktops):
    """A guardrail refuses tasks until it is removed."""
    update = lambda **limits: admin("ProjectService", "UpdateLimits", limits=limits, update_mask="requireReason")["limits"]
    check("a guardrail is set", update(require_reason=True) == {"require_reason": True})
    refused("  a task without a reason is refused", INVALID, lambda: submit(admin, desktops, "true"), "task.reason")
    task = {"desktop_ids": desktops, "command": command("true"), "reason": "a test", "ticket": "OPS-7"}
    task = admin("TaskService", "SubmitTask", task=task)["task"]
    check("  a task has its reason", (task["submit_reason"], task["ticket"]) == ("a test", "OPS-7"), task)
    check("  and ends", ended(admin, task["task_id"])["status"] == "TASK_STATUS_SUCCESS")
    check("  the guardrail is removed", update() == {})


def of_operators(admin):
    """Calls that belong to no project."""
    name = {"project_id": "another"}
    for method, fields in [("ListProjects", {}), ("CreateProject", name), ("RevokeProject", name), ("UnrevokeProject", name), ("StopProject", name)]:
        call = lambda: admin("ProjectService", method, **fields)
        refused(f"a token may not administer the cluster: {method}", FORBIDDEN, call)


def active(admin):
    """Returns the id of a connected desktop."""
    here = lambda: admin("DesktopService", "ListDesktops", presence="PRESENCE_ACTIVE").get("desktops", [])
    return [look_until("  a desktop is connected", here)[0]["desktop_id"]]


def workers(admin, desktops):
    worker = lambda: admin("WorkerService", "ListWorkers")["workers"][0]
    before = worker()
    check("the worker has all desktops", before["desktops"] == len(desktops) and "draining" not in before, before)
    change = lambda method: admin("WorkerService", method, worker_id=before["worker_id"])["worker"]
    wanted = change("DrainWorker")
    check("it is asked to drain", wanted["drain_requested"] and wanted["drain_requested_by"], wanted)
    look_until("  it takes no more work", lambda: worker().get("draining"))
    look_until("  its desktops disconnect", lambda: "desktops" not in worker())
    check("it is undrained", "drain_requested" not in change("UndrainWorker"))
    # A refused agent may wait for half a minute, so one reconnected desktop is enough.
    look_until("  a desktop reconnects", lambda: "desktops" in worker())
    check("  it takes work", "draining" not in worker(), worker())
    task_id = submit(admin, active(admin), "true")["task_id"]
    check("  and completes it", ended(admin, task_id)["status"] == "TASK_STATUS_SUCCESS")
    for method in ("DrainWorker", "UndrainWorker"):
        call = lambda: admin("WorkerService", method, worker_id="nobody")
        refused(f"an unknown worker is not found: {method}", NOT_FOUND, call)


def everything(admin, desktops, project_id):
    frozen(admin, desktops, project_id)
    limited(admin)
    guarded(admin, desktops)
    of_operators(admin)
