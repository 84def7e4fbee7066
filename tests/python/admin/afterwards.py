"""Checks after all other tests: the audit is complete, lists are paginated, and the rate is limited."""

import time

from .checks import INVALID, PATIENCE_S, TOO_MANY, UNAVAILABLE, check, details, fields, is_refusal, refusal, refused
from .reflected import PACKAGE
from .server import FOR_CERTIFICATES
from .steps import person

# Actions of all calls that change state of the project. Drains are in the audit of the cluster.
ACTIONS = """
    workspace:scripts: create delete execute put retry stop
    graywave:tasks: approve pause resume setConcurrency
    graywave:project: freeze putLimits unfreeze
    graywave:desktops: retire revoke tag unretire
    graywave:enrolmentTokens: create delete
    graywave:principals: put
    graywave:policies: delete put
    graywave:tokens: create delete
    graywave:keys: create delete
"""


def audited(admin, task_id):
    entries = lambda **more: admin("AuditService", "ListAuditEntries", **more).get("entries", [])
    pages = list(admin.pages("AuditService", "ListAuditEntries", "entries", 50))
    everything = [entry for page in pages for entry in page]
    done = {entry["action"] for entry in everything if entry["result"] == "AUDIT_RESULT_DONE"}
    kinds = [line.split() for line in ACTIONS.strip().splitlines()]
    expected = {f"{kind}{action}" for kind, *actions in kinds for action in actions}
    check("the audit has every change", done >= expected, expected - done)
    times = [entry["audit_id"] for entry in everything]
    check("  newest first, and each once", times == sorted(set(times), reverse=True), times)
    task = entries(resource=f"task:{task_id}")
    seen = [(it["action"], it["result"]) for it in task]
    check("  it filters by task", seen == [("workspace:scripts:execute", "AUDIT_RESULT_DONE")], task)
    check("  with principal and source", all(task[0][it] for it in ("principal", "credential", "source", "request_id")))
    freezes = entries(action="graywave:project:freeze", principal="freezer")
    check("  it filters by principal", [it["result"] for it in freezes] == ["AUDIT_RESULT_DONE"], freezes)
    denied = entries(principal="freezer", result="AUDIT_RESULT_REFUSED")
    seen = [(it["action"], it["resource"]) for it in denied]
    expected = [("graywave:project:unfreeze", f"/{PACKAGE}.ProjectService/UnfreezeProject")]
    check("  and refused requests", seen == expected and denied[0]["reason"], denied)
    wrong = lambda: admin("AuditService", "ListAuditEntries", result=99)
    refused("an unknown result is refused", INVALID, wrong, "result")


def named(admin):
    """The request id is the one that the client sends."""
    admin.sending(("x-request-id", "a-name-of-ours"))("AccessService", "PutPrincipal", principal="named")
    entry = admin("AuditService", "ListAuditEntries", page_size=1)["entries"][0]
    check("the audit has the request id of the client", entry["request_id"] == "a-name-of-ours", entry)


def paged(admin, ids):
    """Every list found through reflection, except those that tokens may not call."""
    methods = admin.reflected.methods
    lists = [name for name, method in methods.items() if "page_token" in method.input_type.fields_by_name]
    for name in sorted(set(lists) - FOR_CERTIFICATES):
        method = methods[name]
        given = {field: value for field, value in ids.items() if field in method.input_type.fields_by_name}
        [key] = [it.name for it in method.output_type.fields if it.is_repeated]
        listed = lambda **more: admin(*name.split("/"), **given, **more)
        whole = [entry for page in admin.pages(*name.split("/"), key, 1000, **given) for entry in page]
        pages = list(admin.pages(*name.split("/"), key, 1, **given))
        same = [entry for page in pages for entry in page] == whole and len(whole) > 1
        check(f"the pages equal the whole list: {name}", same and all(len(page) <= 1 for page in pages), pages)
        for field, value in [("page_token", "garbage"), ("page_token", "ffff"), ("page_size", -1)]:
            error = refusal(lambda: listed(**{field: value}))
            is_so = is_refusal(error, INVALID) and fields(error) == [field]
            check(f"  {field} {value} is refused", is_so, error)


def hasty(admin):
    """A caller above its rate, or above the number of slots, is refused with a time to wait."""
    caller = person(admin, "hasty", "reader")
    call = admin.channel.unary_unary(f"/{PACKAGE}.ProjectService/GetProject")
    deadline = time.monotonic() + PATIENCE_S
    refusals = []
    while not refusals and time.monotonic() < deadline:
        calls = [call.future(b"", metadata=caller.metadata, timeout=PATIENCE_S) for _ in range(2000)]
        refusals = [error for error in (it.exception() for it in calls) if error]
    is_so = all(is_refusal(error, TOO_MANY) or is_refusal(error, UNAVAILABLE) for error in refusals)
    check("a caller above its rate is refused", refusals and is_so, refusals[:3])
    waits = [details(error)["RetryInfo"].retry_delay.ToMilliseconds() for error in refusals]
    check("  with a time to wait", all(0 < wait <= 60_000 for wait in waits), waits)
    check("  other callers are not refused", "project_id" in admin("ProjectService", "GetProject"))


def everything(admin, task_id, script_id, group_id):
    audited(admin, task_id)
    named(admin)
    paged(admin, {"task_id": task_id, "script_id": script_id, "fingerprint_id": group_id})
    hasty(admin)
