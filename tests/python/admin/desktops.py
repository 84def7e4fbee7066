"""What operators make of desktops, and the tokens with which machines become some."""

from .checks import CONFLICT, INVALID, NOT_FOUND, check, look_until, refused
from .steps import command

DESKTOP = "DesktopService"


def listed(admin):
    """The ids of all desktops."""
    pages = list(admin.pages(DESKTOP, "ListDesktops", "desktops", 4))
    found = [desktop for page in pages for desktop in page]
    ids = [desktop["desktop_id"] for desktop in found]
    check("desktops are listed in pages", [len(page) for page in pages] == [4, 2] and len(set(ids)) == 6, ids)
    one = admin(DESKTOP, "GetDesktop", desktop_id=ids[0])["desktop"]
    check("  one is shown as it is listed", one == found[0] and one["presence"] == "PRESENCE_ACTIVE", one)
    for what, expected, filters in [
        ("with a tag", ids, {"tags": {"group": "dev"}}),
        ("with another", [], {"tags": {"group": "other"}}),
        ("of a pool", ids, {"desktop_pool_ids": ["dev-pool", "other"]}),
        ("of an operating system", ids, {"os_type": one["os_type"]}),
        ("in a zone", [], {"availability_zone": "nowhere"}),
        ("that are here", ids, {"presence": "PRESENCE_ACTIVE"}),
        ("that are away", [], {"presence": "PRESENCE_SHUTOFF"}),
    ]:
        found = admin(DESKTOP, "ListDesktops", **filters).get("desktops", [])
        check(f"  those {what}", [desktop["desktop_id"] for desktop in found] == expected, found)
    refused("a presence that is none", INVALID, lambda: admin(DESKTOP, "ListDesktops", presence=99), "presence")
    for method in ("GetDesktop", "TagDesktop", "RetireDesktop", "UnretireDesktop"):
        more = {"remove": ["pool"]} if method == "TagDesktop" else {}
        call = lambda: admin(DESKTOP, method, desktop_id="nowhere", **more)
        refused(f"there is no such desktop: {method}", NOT_FOUND, call)
    return ids


def tagged(admin, desktop_id):
    tag = lambda **more: admin(DESKTOP, "TagDesktop", desktop_id=desktop_id, **more)["desktop"]
    own = admin(DESKTOP, "GetDesktop", desktop_id=desktop_id)["desktop"]["tags"]
    pool = {"pool": "lab"}
    shown = tag(set=pool)
    check("an operator's tag is set", (shown["operator_tags"], shown["tags"]) == (pool, own | pool), shown)
    task = {"desktop_tag": "pool=lab", "command": command("true")}
    preview = admin("TaskService", "PreviewTask", task=task)
    check("  a task may choose by it", [wave["size"] for wave in preview["waves"]] == [1], preview)
    shown = tag(set={"group": "ours"}, remove=["pool"])
    check("  it is removed, and the agent's is overruled", shown["tags"] == {"group": "ours"}, shown)
    check("  until that is removed", tag(remove=["group"])["tags"] == own)
    refused("  what is the agent's stays", INVALID, lambda: tag(remove=["group"]))
    refused("  a name has no comma", INVALID, lambda: tag(set={"a,b": "c"}))


def retired(admin, desktop_id):
    shown = admin(DESKTOP, "RetireDesktop", desktop_id=desktop_id)["desktop"]
    check("a desktop is retired", "retire_time" in shown and shown["presence"] == "PRESENCE_SHUTOFF", shown)
    ids = lambda **more: [it["desktop_id"] for it in admin(DESKTOP, "ListDesktops", **more)["desktops"]]
    check("  it is not listed", desktop_id not in ids())
    check("  unless it is asked for", ids(retired="RETIRED_FILTER_ONLY") == [desktop_id])
    check("  with the others", len(ids(retired="RETIRED_FILTER_INCLUDED")) == 6)
    task = {"desktop_ids": [desktop_id], "command": command("true")}
    for method in ("SubmitTask", "PreviewTask"):
        call = lambda: admin("TaskService", method, task=task)
        refused(f"a task that names it is refused: {method}", CONFLICT, call)
    shown = admin(DESKTOP, "UnretireDesktop", desktop_id=desktop_id)["desktop"]
    check("it is taken back", "retire_time" not in shown and "retired_by" not in shown, shown)
    presence = lambda: admin(DESKTOP, "GetDesktop", desktop_id=desktop_id)["desktop"]["presence"]
    look_until("  its agent is let in again", lambda: presence() == "PRESENCE_ACTIVE")
    revoked = admin(DESKTOP, "RevokeDesktop", desktop_id=desktop_id)
    check("without TLS there is nothing to revoke", revoked == {"is_known": True}, revoked)
    check("  nor of whom nobody knows", admin(DESKTOP, "RevokeDesktop", desktop_id="nowhere") == {})


def enrolment(admin):
    service = "EnrolmentService"
    made = admin(service, "CreateEnrolmentToken", uses=2)
    token = made["enrolment_token"]
    check("an enrolment token is shown once", len(made["secret"]) == 48 and token["max_uses"] == 2, token)
    one = admin(service, "CreateEnrolmentToken", desktop_id="new-desktop", expires_in_hours=1)["enrolment_token"]
    check("  it may be for one desktop", (one["desktop_id"], one["max_uses"]) == ("new-desktop", 1), one)
    listed = lambda: admin(service, "ListEnrolmentTokens")["enrolment_tokens"]
    shown = listed()
    check("  they are listed, oldest first", shown == [token, one], shown)
    admin(service, "RevokeEnrolmentToken", token_id=token["token_id"])
    check("  one is listed as revoked", ["revoke_time" in it for it in listed()] == [True, False], listed())
    for field, value in [("uses", 0), ("expires_in_hours", 721), ("desktop_id", "a\nb")]:
        call = lambda: admin(service, "CreateEnrolmentToken", **{field: value})
        refused(f"  there is none of such {field}", INVALID, call, field)
    nothing = lambda: admin(service, "RevokeEnrolmentToken", token_id="nothing")
    refused("  nor one to revoke that is not there", NOT_FOUND, nothing)


def everything(admin, desktop_ids):
    tagged(admin, desktop_ids[0])
    retired(admin, desktop_ids[1])
    enrolment(admin)
