"""Who may call: principals, policies and credentials."""

import json

from .checks import (
    CONFLICT, FORBIDDEN, INVALID, NOT_FOUND, UNKNOWN_CALLER, but_times, check, is_refusal, refusal, refused,
)
from .reflected import Admin
from .steps import person

ACCESS = "AccessService"
# What only looks, and yet is not for a reader: the audit, and who may call.
NOT_FOR_READERS = {
    "AccessService/ListKeys", "AccessService/ListPolicies", "AccessService/ListPrincipals", "AccessService/ListTokens",
    "AuditService/ListAuditEntries", "EnrolmentService/ListEnrolmentTokens", "ProjectService/ListProjects",
}
LOOKING = ("Get", "List", "Watch", "Stream", "Explain", "WhatIf")


def strangers(admin):
    """No call is open to who is not known, or has no rights."""
    methods = admin.reflected.methods

    def let_in(caller, kind):
        return [name for name in methods if not is_refusal(refusal(lambda: caller(*name.split("/"))), kind)]

    nobody = Admin(admin.channel, admin.reflected)
    check("without a token nothing is told", let_in(nobody, UNKNOWN_CALLER) == [])
    check("  nor with a wrong one", let_in(admin.by("nobody's"), UNKNOWN_CALLER) == [])
    check("who has no policy may do nothing", let_in(person(admin, "powerless"), FORBIDDEN) == [])


def readers(admin):
    """May look, and change nothing."""
    reader = person(admin, "reader", "reader")
    may = {
        name for name in admin.reflected.methods
        if not is_refusal(refusal(lambda: reader(*name.split("/"))), FORBIDDEN)
    }
    looking = {name for name in admin.reflected.methods if name.split("/")[1].startswith(LOOKING)}
    check("a reader may look and not change", may == looking - NOT_FOR_READERS, may ^ (looking - NOT_FOR_READERS))
    check("  and sees what is there", len(reader("DesktopService", "ListDesktops")["desktops"]) == 6)


def principals(admin):
    put = lambda name, *policies: admin(ACCESS, "PutPrincipal", principal=name, policies=policies)["principal"]
    check("a principal is made", put("alice", "reader")["policies"] == ["reader"])
    check("  it is bound otherwise", put("alice", "operator", "reader")["policies"] == ["operator", "reader"])
    found = admin(ACCESS, "ListPrincipals")["principals"]
    names = [it["principal"] for it in found]
    check("  and listed by name", "alice" in names and names == sorted(names), names)
    refused("  policies must be there", NOT_FOUND, lambda: put("alice", "nothing"))
    refused("  a name of ours is nobody's", INVALID, lambda: put("database"), "principal")


def policies(admin):
    """One of the project's own binds from the next call on."""
    put = lambda document: admin(ACCESS, "PutPolicy", name="lister", document=json.dumps(document))["policy"]
    allow = lambda *actions: {"Version": "5.0", "Statement": [{"Effect": "Allow", "Action": actions}]}
    stored = put(allow("workspace:scripts:list"))
    check("a policy is stored", stored["name"] == "lister" and "ready" not in stored, stored)
    names = [(it["name"], it.get("ready", False)) for it in admin(ACCESS, "ListPolicies")["policies"]]
    ready = [("admin", True), ("operator", True), ("reader", True)]
    check("  and listed behind the ready ones", sorted(names[:3]) == ready and names[3:] == [("lister", False)], names)
    lister = person(admin, "lister", "lister")
    lister("ScriptService", "ListScripts")
    refused("  what it does not allow is refused", FORBIDDEN, lambda: lister("ProjectService", "GetProject"))
    put(allow("workspace:scripts:list", "graywave:project:get"))
    check("  until it does", "project_id" in lister("ProjectService", "GetProject"))
    refused("  it must fit something", INVALID, lambda: put(allow("workspace:scripts:lst")), "document")
    refused("  and be one", INVALID, lambda: put({"Statement": "all"}), "document")
    delete = lambda name: admin(ACCESS, "DeletePolicy", name=name)
    refused("what binds somebody is not deleted", CONFLICT, lambda: delete("lister"))
    refused("  nor what is always there", CONFLICT, lambda: delete("reader"))
    admin(ACCESS, "PutPrincipal", principal="lister")
    delete("lister")
    refused("  it is gone", NOT_FOUND, lambda: delete("lister"))


def tokens(admin):
    make = lambda **more: admin(ACCESS, "CreateToken", principal="alice", **more)
    made, limited = make(), make(expire_time="2099-01-01T00:00:00Z")
    check("a token is good until a time", limited["token"]["expire_time"] == "2099-01-01T00:00:00Z", limited["token"])
    alice = admin.by(made["secret"])
    alice("ScriptService", "ListScripts")
    # As over REST.
    other = Admin(admin.channel, admin.reflected).sending(("x-auth-token", made["secret"]))
    check("  it may be sent in two ways", "project_id" in other("ProjectService", "GetProject"))
    rights = {
        "PutPrincipal": {"principal": "alice", "policies": ["admin"]},
        "CreateToken": {"principal": "alice"},
        "CreateKey": {"principal": "alice"},
    }
    for method, fields in rights.items():
        refused(f"an operator gives no rights: {method}", FORBIDDEN, lambda: alice(ACCESS, method, **fields))
    listed = lambda: {it["token_id"]: it for it in admin(ACCESS, "ListTokens")["tokens"]}
    shown = [but_times(listed()[it["token"]["token_id"]]) for it in (made, limited)]
    expected = [but_times(it["token"]) for it in (made, limited)]
    check("tokens are listed, without what is sent", shown == expected, shown)
    admin(ACCESS, "RevokeToken", token_id=made["token"]["token_id"])
    check("  one is revoked", "revoke_time" in listed()[made["token"]["token_id"]])
    refused("  and good no more", UNKNOWN_CALLER, lambda: alice("ScriptService", "ListScripts"))
    admin.by(limited["secret"])("ScriptService", "ListScripts")
    refused("  another one is", NOT_FOUND, lambda: admin(ACCESS, "RevokeToken", token_id="nothing"))
    past = lambda: make(expire_time="2001-01-01T00:00:00Z")
    refused("no token is good until yesterday", INVALID, past, "expire_time")
    refused("  nor nobody's", NOT_FOUND, lambda: admin(ACCESS, "CreateToken", principal="nobody"))


def keys(admin):
    make = lambda **more: admin(ACCESS, "CreateKey", **({"principal": "alice"} | more))
    made = make()
    name = made["key"]["access_key"]
    check("an access key is made", len(made["secret_key"]) == 40 and name, made["key"])
    listed = lambda: [it for it in admin(ACCESS, "ListKeys")["keys"] if it["access_key"] == name]
    shown = [but_times(it) for it in listed()]
    check("  and listed, without its secret", shown == [but_times(made["key"])], shown)
    admin(ACCESS, "RevokeKey", access_key=name)
    check("  it is revoked", "revoke_time" in listed()[0], listed())
    refused("  another is not there", NOT_FOUND, lambda: admin(ACCESS, "RevokeKey", access_key="nothing"))
    refused("none is nobody's", NOT_FOUND, lambda: make(principal="nobody"))
    past = lambda: make(expire_time="2001-01-01T00:00:00Z")
    refused("  or good until yesterday", INVALID, past, "expire_time")


def everything(admin):
    strangers(admin)
    readers(admin)
    principals(admin)
    policies(admin)
    tokens(admin)
    keys(admin)
