"""Scripts and their revisions."""

import hashlib

from .checks import INVALID, NOT_FOUND, OTHER_REQUEST, check, refused
from .steps import ended, records

SCRIPT = "ScriptService"


def created(admin):
    script = {"name": "hello", "script_type": "SCRIPT_TYPE_SHELL", "content": "echo one", "description": "first"}
    made = admin(SCRIPT, "CreateScript", script=script, idempotency_key="a-script")["script"]
    check("a script is saved", made.items() >= script.items() and made["revision"] == 1, made)
    # The name of the script type in the database.
    expected = hashlib.sha256(b"SHELL\0echo one").hexdigest()
    check("  it is known by its hash", made["sha256"] == expected, made)
    again = admin(SCRIPT, "CreateScript", script=script, idempotency_key="a-script")["script"]
    check("  an idempotency key saves one script", again == made, again)
    other = script | {"name": "other"}
    call = lambda: admin(SCRIPT, "CreateScript", script=other, idempotency_key="a-script")
    refused("  the key is refused for another script", OTHER_REQUEST, call)
    for field, value in [("name", ""), ("content", ""), ("script_type", 0), ("version", "x" * 129)]:
        call = lambda: admin(SCRIPT, "CreateScript", script=script | {field: value})
        refused(f"  an invalid {field} is refused", INVALID, call, f"script.{field}")
    return made


def updated(admin, made):
    script_id = made["script_id"]
    change = {"script_id": script_id, "content": "echo two", "description": "not named"}
    new = admin(SCRIPT, "UpdateScript", script=change, update_mask="content")["script"]
    check("a new revision is saved", (new["revision"], new["content"]) == (2, "echo two"), new)
    check("  only the fields in the mask change", (new["name"], new["description"]) == ("hello", "first"), new)
    get = lambda **more: admin(SCRIPT, "GetScript", script_id=script_id, **more)["script"]
    check("  it is the newest", get() == get(revision=2) == new)
    old = get(revision=1)
    check("  the old one is kept", (old["content"], old["sha256"]) == ("echo one", made["sha256"]), old)
    refused("  an unknown revision is not found", NOT_FOUND, lambda: get(revision=3))
    wrong = lambda mask, **more: admin(SCRIPT, "UpdateScript", script=change | more, update_mask=mask)
    refused("a mask names changeable fields", INVALID, lambda: wrong("scriptType"), "update_mask")
    refused("  named fields are validated", INVALID, lambda: wrong("name", name=""), "script.name")
    refused("  the script must exist", NOT_FOUND, lambda: wrong("content", script_id="nothing"))
    pages = list(admin.pages(SCRIPT, "ListRevisions", "revisions", 1, script_id=script_id))
    found = [(it["revision"], it["sha256"]) for page in pages for it in page]
    check("revisions are listed, newest first", found == [(2, new["sha256"]), (1, made["sha256"])], found)


def listed(admin, script_id):
    others = [{"name": kind, "script_type": f"SCRIPT_TYPE_{kind}", "content": "echo"} for kind in ("BAT", "POWERSHELL")]
    bat_id, powershell_id = [admin(SCRIPT, "CreateScript", script=it)["script"]["script_id"] for it in others]
    ids = lambda **more: [it["script_id"] for it in admin(SCRIPT, "ListScripts", **more).get("scripts", [])]
    check("scripts are listed, newest first", ids() == [powershell_id, bat_id, script_id], ids())
    check("  by name", (ids(name="hello"), ids(name="hell")) == ([script_id], []))
    check("  by type", ids(script_type="SCRIPT_TYPE_BAT") == [bat_id])
    check("  by the caller", ids(mine=True) == ids())
    prefix = lambda digits: ids(script_id_prefix=digits)
    check("  by the first digits", (prefix(script_id), prefix("ffff")) == ([script_id], []))
    refused("  and by nothing else", INVALID, lambda: prefix("hello"), "script_id_prefix")
    found = admin(SCRIPT, "ListScripts")["scripts"]
    check("  with their authors", all(script["created_by"] for script in found), found)
    check("  without their content", not any("content" in script for script in found), found)
    return bat_id


def ran(admin, desktop_id, script_id):
    """Runs a chosen revision, and the newest."""
    for revision, chosen, expected in [(1, {"revision": 1}, "one\n"), (2, {}, "two\n")]:
        task = {"desktop_ids": [desktop_id], "scripts": [{"script_id": script_id} | chosen]}
        task = admin("TaskService", "SubmitTask", task=task)["task"]
        check(f"revision {revision} is run", task["scripts"][0]["revision"] == revision, task)
        ended(admin, task["task_id"])
        [record] = records(admin, task["task_id"])
        record = admin("RecordService", "GetRecord", record_id=record["record_id"])["record"]
        check("  as it was saved", (record["output"], record["script_id"]) == (expected, script_id), record)
    both = [{"script_id": script_id, "revision": revision} for revision in (1, 2)]
    task_of_both = {"desktop_ids": [desktop_id], "scripts": both}
    call = lambda: admin("TaskService", "SubmitTask", task=task_of_both)
    refused("a task refuses two revisions of a script", INVALID, call, "task.scripts")
    return task["task_id"]


def deleted(admin, script_id, task_id):
    admin(SCRIPT, "DeleteScript", script_id=script_id)
    for method in ("GetScript", "ListRevisions", "DeleteScript"):
        call = lambda: admin(SCRIPT, method, script_id=script_id)
        refused(f"a deleted script is not found: {method}", NOT_FOUND, call)
    task = admin("TaskService", "GetTask", task_id=task_id)["task"]
    check("  the task that ran it remains", [it["name"] for it in task["scripts"]] == ["hello"], task)


def everything(admin, desktop_id):
    """Returns a saved script."""
    made = created(admin)
    updated(admin, made)
    other_id = listed(admin, made["script_id"])
    task_id = ran(admin, desktop_id, made["script_id"])
    deleted(admin, made["script_id"], task_id)
    admin(SCRIPT, "UpdateScript", script={"script_id": other_id, "content": "echo again"}, update_mask="content")
    return other_id
