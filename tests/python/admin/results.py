"""Results of a task: records, and insight into failures."""

import base64

from .checks import CONFLICT, INVALID, NOT_FOUND, check, refused
from .steps import Door, ended, records, submit


def half_failed(admin, desktops):
    """A task whose gray wave succeeds and whose second wave fails in two ways; no threshold halts it."""
    full, broken = desktops[:2], desktops[2:3]
    content = f"""echo on $GRAYWAVE_DESKTOP_ID
        case $GRAYWAVE_DESKTOP_ID in
            {"|".join(full)}) echo disk full: $$ of 5000 MB; exit 3;;
            {"|".join(broken)}) exit 4;;
        esac"""
    spec = {"desktop_ids": desktops, "command": {"command_type": "SCRIPT_TYPE_SHELL", "content": content}}
    gray = {"gray_count": 2, "gray_desktop_ids": desktops[4:], "gray_fail_threshold": 1}
    task = admin("TaskService", "SubmitTask", task=spec | gray)["task"]
    task = ended(admin, task["task_id"])
    check("half of the targets fail", task["records"] == {"success": "3", "failed": "3"}, task)
    check("  to its end", task["status"] == "TASK_STATUS_FAILED", task)
    return task["task_id"], full


def recorded(admin, desktops, task_id, full):
    pages = list(admin.pages("RecordService", "ListRecords", "records", 4, task_id=task_id))
    found = [record for page in pages for record in page]
    check("records are listed in pages", [len(page) for page in pages] == [4, 2], pages)
    check("  without what they printed", not any("output" in record for record in found), found)
    check("  one of each desktop", sorted(record["desktop_id"] for record in found) == desktops, found)
    on = lambda **filters: [record["desktop_id"] for record in records(admin, task_id, **filters)]
    check("  those that failed", sorted(on(status="RECORD_STATUS_FAILED")) == desktops[:3])
    check("  those of the gray wave", sorted(on(wave=1)) == desktops[4:])
    check("  those of two desktops", sorted(on(desktop_ids=full)) == full)
    check("  all of these at once", on(wave=1, status="RECORD_STATUS_FAILED", desktop_ids=desktops) == [])
    wrong = lambda: admin("RecordService", "ListRecords", task_id=task_id, filter={"status": 99})
    refused("an unknown status is refused", INVALID, wrong, "filter.status")

    failed = next(record for record in found if record["desktop_id"] == full[0])
    shown = admin("RecordService", "GetRecord", record_id=failed["record_id"])["record"]
    check("a record has what was printed", shown["output"].startswith(f"on {full[0]}\ndisk full: "), shown)
    ending = (shown["status"], shown["outcome"], shown["exit_code"])
    check("  and how it ended", ending == ("RECORD_STATUS_FAILED", "OUTCOME_FAILED", 3), shown)
    for record_id in (f"{task_id}-9-0-1", "nothing"):
        call = lambda: admin("RecordService", "GetRecord", record_id=record_id)
        refused(f"there is no record ...{record_id[-7:]}", NOT_FOUND, call)


def streamed(admin, desktops, task_id):
    stream = lambda **more: list(admin("RecordService", "StreamRecords", task_id=task_id, **more))
    told = stream()
    printed = {message["record"]["output"].splitlines()[0] for message in told}
    check("what was printed is streamed", printed == {f"on {desktop}" for desktop in desktops}, printed)
    going_on = [stream(cursor=message["cursor"]) for message in told]
    check("  from each cursor on", going_on == [told[place:] for place in range(1, 7)], going_on)
    good = stream(filter={"status": "RECORD_STATUS_SUCCESS"})
    check("  those that succeeded", [it["record"].get("exit_code") for it in good] == [0] * 3, good)
    refused("an unknown cursor is refused", INVALID, lambda: stream(cursor="nowhere"), "cursor")
    output = lambda ids: admin("RecordService", "StreamOutput", positions=[{"record_id": record_id} for record_id in ids])
    record = told[0]["record"]
    followed = list(output([record["record_id"]]))
    whole = "".join(message["output"] for message in followed)
    check("output is streamed by offsets", whole == record["output"], followed)
    check("  to its end", followed[-1]["state"] == "OUTPUT_STATE_ENDED", followed)
    refused("output of no record is refused", INVALID, lambda: list(output([])), "positions")
    nothing = lambda: admin("RecordService", "StreamRecords", task_id="0" * 32)
    refused("there is no such task to stream", NOT_FOUND, nothing)


def grouped(admin, task_id, full):
    """Returns the larger failure group."""
    found = admin("InsightService", "ListFailures", task_id=task_id)
    seen = [(group["records"], group["exit_code"]) for group in found["groups"]]
    check("failures are in groups, the largest first", seen == [(2, 3), (1, 4)] and found["records"] == 3, found)
    group = found["groups"][0]
    check("  with what they have in common", "disk full" in group["fingerprint"] and group["desktop_ids"] == full, group)
    check("  and where they were", group["waves"] == [{"wave": 2, "records": 2}], group)
    group_id = group["fingerprint_id"]
    pages = admin.pages("InsightService", "ListFailureMembers", "members", 1, task_id=task_id, fingerprint_id=group_id)
    members = [member["desktop_id"] for page in pages for member in page]
    check("  the members of one", members == full, members)
    for other in ("1", "nothing"):
        call = lambda: admin("InsightService", "ListFailureMembers", task_id=task_id, fingerprint_id=other)
        refused(f"  there is no group {other}", NOT_FOUND, call)
    return group_id


def explained(admin, desktops, task_id):
    explain = lambda **more: [
        step["text"] for step in admin("InsightService", "ExplainTask", task_id=task_id, **more)["steps"]
    ]
    texts = explain()
    check("a task is explained", len(texts) > 3 and all(texts), texts)
    texts = explain(desktop_id=desktops[5])
    check("  and a desktop of the task", any("wave 1" in text for text in texts), texts)
    refused("  other desktops are not found", NOT_FOUND, lambda: explain(desktop_id="nowhere"))


def what_if(admin, desktops, task_id):
    replay = lambda rollout, of=task_id: admin("InsightService", "WhatIf", task_id=of, rollout=rollout)
    found = replay({"fail_threshold": {"count": 1}})
    halted = (found["ending"], found["failed"], found["waves"][-1]["wave"])
    check("a stricter gate would have halted it", halted == ("WHAT_IF_ENDING_HALTED", 1, 2), found)
    found = replay({"exit_codes": {"3": "ignore", "4": "ignore"}, "fail_threshold": {"count": 1}})
    check("  a milder one would not", found["ending"] == "WHAT_IF_ENDING_COMPLETED", found)
    wrong = lambda: replay({"fail_threshold": {"count": 0}})
    refused("  an invalid threshold is refused", INVALID, wrong, "rollout.fail_threshold.count")
    refused("  one must be given", INVALID, lambda: admin("InsightService", "WhatIf", task_id=task_id), "rollout")
    with Door() as door:
        running = submit(admin, desktops[:1], door.wait())["task_id"]
        refused("  of what is over", CONFLICT, lambda: replay({}, of=running))
        door.open()
        ended(admin, running)


def live(admin, task_id):
    """The map of the task, what waits for a person, and the stream of the project."""
    found = admin("InsightService", "GetTaskMap", task_id=task_id)
    codes = list(base64.b64decode(found["codes"]))
    check("a map has one code for each desktop", sorted(codes) == [16, 16, 16, 17, 17, 17], codes)
    again = admin("InsightService", "GetTaskMap", task_id=task_id, known_tag=found["tag"])
    check("  and is not sent twice", "codes" not in again, again)
    waiting = admin("InsightService", "GetAttention")
    check("what waits for a person is counted", "counts" in waiting and "time" in waiting, waiting)
    stream = admin("ProjectService", "WatchProject", task_ids=[task_id], types=["task", "desktops"])
    first = next(stream)
    check("the stream begins with the task", first["task"]["task_id"] == task_id, first)
    while not first.get("position"):
        first = next(stream)
    wrong = lambda: admin("ProjectService", "WatchProject", position="nowhere")
    refused("  an unknown position is refused", INVALID, wrong, "position")


def everything(admin, desktops):
    """Returns a task with failures, and one failure group."""
    task_id, full = half_failed(admin, desktops)
    recorded(admin, desktops, task_id, full)
    streamed(admin, desktops, task_id)
    group_id = grouped(admin, task_id, full)
    explained(admin, desktops, task_id)
    what_if(admin, desktops, task_id)
    live(admin, task_id)
    return task_id, group_id
