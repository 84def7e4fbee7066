"""Desktops, their tags, retirement and enrolment tokens."""

from .checks import CONFLICT, INVALID, NOT_FOUND, check, look_until, refused
from .steps import command

DESKTOP = "DesktopService"


def listed(admin):
    """Tests the lists and returns the ids of all desktops."""
    pages = list(admin.pages(DESKTOP, "ListDesktops", "desktops", 4))
    found = [desktop for page in pages for desktop in page]
    ids = [desktop["desktop_id"] for desktop in found]
    check("desktops are listed in pages", [len(page) for page in pages] == [4, 2] and len(set(ids)) == 6, ids)
    one = admin(DESKTOP, "GetDesktop", desktop_id=ids[0])["desktop"]
    check("  a desktop is shown as listed", one == found[0] and one["presence"] == "PRESENCE_ACTIVE", one)
    for what, expected, filters in [
        ("with a tag", ids, {"tags": {"group": "dev"}}),
        ("with another tag", [], {"tags": {"group": "other"}}),
        ("of a pool", ids, {"desktop_pool_ids": ["dev-pool", "other"]}),
        ("of an operating system", ids, {"os_type": one["os_type"]}),
        ("in a zone", [], {"availability_zone": "nowhere"}),
        ("that are connected", ids, {"presence": "PRESENCE_ACTIVE"}),
        ("that are offline", [], {"presence": "PRESENCE_SHUTOFF"}),
    ]:
        found = admin(DESKTOP, "ListDesktops", **filters).get("desktops", [])
        check(f"  those {what}", [desktop["desktop_id"] for desktop in found] == expected, found)
    refused("an unknown presence is refused", INVALID, lambda: admin(DESKTOP, "ListDesktops", presence=99), "presence")
    for method in ("GetDesktop", "TagDesktop", "RetireDesktop", "UnretireDesktop"):
        more = {"remove": ["pool"]} if method == "TagDesktop" else {}
        call = lambda: admin(DESKTOP, method, desktop_id="nowhere", **more)
        refused(f"an unknown desktop is not found: {method}", NOT_FOUND, call)
    return ids


def tagged(admin, desktop_id):
    tag = lambda **more: admin(DESKTOP, "TagDesktop", desktop_id=desktop_id, **more)["desktop"]
    own = admin(DESKTOP, "GetDesktop", desktop_id=desktop_id)["desktop"]["tags"]
    pool = {"pool": "lab"}
    shown = tag(set=pool)
    check("an operator's tag is set", (shown["operator_tags"], shown["tags"]) == (pool, own | pool), shown)
    task = {"desktop_tag": "pool=lab", "command": command("true")}
    preview = admin("TaskService", "PreviewTask", task=task)
    check("  a task may select by it", [wave["size"] for wave in preview["waves"]] == [1], preview)
    shown = tag(set={"group": "ours"}, remove=["pool"])
    check("  it is removed, and it overrides the agent's tag", shown["tags"] == {"group": "ours"}, shown)
    check("  until the override is removed", tag(remove=["group"])["tags"] == own)
    refused("  the agent's tag cannot be removed", INVALID, lambda: tag(remove=["group"]))
    refused("  a name has no comma", INVALID, lambda: tag(set={"a,b": "c"}))


def retired(admin, desktop_id):
    shown = admin(DESKTOP, "RetireDesktop", desktop_id=desktop_id)["desktop"]
    check("a desktop is retired", "retire_time" in shown and shown["presence"] == "PRESENCE_SHUTOFF", shown)
    ids = lambda **more: [it["desktop_id"] for it in admin(DESKTOP, "ListDesktops", **more)["desktops"]]
    check("  it is not listed", desktop_id not in ids())
    check("  unless the filter asks for it", ids(retired="RETIRED_FILTER_ONLY") == [desktop_id])
    check("  together with other desktops", len(ids(retired="RETIRED_FILTER_INCLUDED")) == 6)
    task = {"desktop_ids": [desktop_id], "command": command("true")}
    for method in ("SubmitTask", "PreviewTask"):
        call = lambda: admin("TaskService", method, task=task)
        refused(f"a task that names it is refused: {method}", CONFLICT, call)
    shown = admin(DESKTOP, "UnretireDesktop", desktop_id=desktop_id)["desktop"]
    check("it is unretired", "retire_time" not in shown and "retired_by" not in shown, shown)
    presence = lambda: admin(DESKTOP, "GetDesktop", desktop_id=desktop_id)["desktop"]["presence"]
    look_until("  its agent reconnects", lambda: presence() == "PRESENCE_ACTIVE")
    revoked = admin(DESKTOP, "RevokeDesktop", desktop_id=desktop_id)
    check("without TLS there is nothing to revoke", revoked == {"is_known": True}, revoked)
    check("  nor for an unknown desktop", admin(DESKTOP, "RevokeDesktop", desktop_id="nowhere") == {})


def enrolment(admin):
    service = "EnrolmentService"
    made = admin(service, "CreateEnrolmentToken", uses=2)
    token = made["enrolment_token"]
    check("an enrolment token is shown once", len(made["secret"]) == 80 and token["max_uses"] == 2, token)
    one = admin(service, "CreateEnrolmentToken", desktop_id="new-desktop", expires_in_hours=1)["enrolment_token"]
    check("  it may be for one desktop", (one["desktop_id"], one["max_uses"]) == ("new-desktop", 1), one)
    listed = lambda: admin(service, "ListEnrolmentTokens")["enrolment_tokens"]
    shown = listed()
    check("  they are listed, oldest first", shown == [token, one], shown)
    admin(service, "RevokeEnrolmentToken", token_id=token["token_id"])
    check("  one is listed as revoked", ["revoke_time" in it for it in listed()] == [True, False], listed())
    for field, value in [("uses", 0), ("expires_in_hours", 721), ("desktop_id", "a\nb")]:
        call = lambda: admin(service, "CreateEnrolmentToken", **{field: value})
        refused(f"  an invalid {field} is refused", INVALID, call, field)
    nothing = lambda: admin(service, "RevokeEnrolmentToken", token_id="nothing")
    refused("  an unknown token is not found", NOT_FOUND, nothing)


def everything(admin, desktop_ids):
    tagged(admin, desktop_ids[0])
    retired(admin, desktop_ids[1])
    enrolment(admin)
