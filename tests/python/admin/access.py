"""Access control: principals, policies and credentials."""

import json

from .checks import (
    CONFLICT, FORBIDDEN, INVALID, NOT_FOUND, UNKNOWN_CALLER, but_times, check, is_refusal, refusal, refused,
)
from .reflected import Admin
from .steps import person

ACCESS = "AccessService"
# Read-only calls that the policy `reader` does not allow: the audit, access control, and workers, which
# serve all projects.
NOT_FOR_READERS = {
    "AccessService/ListKeys", "AccessService/ListPolicies", "AccessService/ListPrincipals", "AccessService/ListTokens",
    "AuditService/ListAuditEntries", "EnrolmentService/ListEnrolmentTokens", "ProjectService/ListProjects",
    "CertificateService/ListDeniedCertificates", "WorkerService/ListWorkers",
}
LOOKING = ("Get", "List", "Watch", "Stream", "Explain", "WhatIf", "Check")
# Every caller may ask about its own rights.
OPEN = ["AccessService/CheckAccess"]
# An event stream of a project does not end by itself.
STREAM_S = 5


def strangers(admin):
    """All calls refuse unknown callers and callers without rights."""
    methods = admin.reflected.methods

    def let_in(caller, kind):
        return [name for name in methods if not is_refusal(refusal(lambda: caller(*name.split("/"))), kind)]

    nobody = Admin(admin.channel, admin.reflected)
    check("no call works without a token", let_in(nobody, UNKNOWN_CALLER) == [])
    check("  nor with a wrong token", let_in(admin.by("nobody's"), UNKNOWN_CALLER) == [])
    powerless = person(admin, "powerless")
    check("a principal without policies may only ask what it may do", let_in(powerless, FORBIDDEN) == OPEN)


def readers(admin):
    """A reader may call every read-only method and no other."""
    reader = person(admin, "reader", "reader")
    may = {
        name for name in admin.reflected.methods
        if not is_refusal(refusal(lambda: reader(*name.split("/"), wait_s=STREAM_S)), FORBIDDEN)
    }
    looking = {name for name in admin.reflected.methods if name.split("/")[1].startswith(LOOKING)}
    check("a reader may read and not change", may == looking - NOT_FOR_READERS, may ^ (looking - NOT_FOR_READERS))
    check("  and sees all desktops", len(reader("DesktopService", "ListDesktops")["desktops"]) == 6)


def rights(admin):
    """What a principal may do, as it learns itself, and as an administrator simulates it."""
    ask = lambda caller, **more: caller(ACCESS, "CheckAccess", **more)["results"]
    checks = [{"resource": "task:*", "actions": ["graywave:tasks:get", "graywave:tasks:approve"]}]
    own = ask(person(admin, "asking", "reader"), checks=checks)
    check("a reader learns what it may do", own[0]["allowed"] == ["graywave:tasks:get"], own)
    check("  and why not", own[0]["denied"][0]["reason"] == "NO_POLICY_ALLOWS", own)
    check("  an administrator gets the same answer", ask(admin, principal="asking", checks=checks) == own)
    refused("  resources must be known", INVALID, lambda: ask(admin, checks=[{"resource": "x"}]), "checks[0].resource")


def principals(admin):
    put = lambda name, *policies: admin(ACCESS, "PutPrincipal", principal=name, policies=policies)["principal"]
    check("a principal is created", put("alice", "reader")["policies"] == ["reader"])
    check("  its policies are replaced", put("alice", "operator", "reader")["policies"] == ["operator", "reader"])
    found = admin(ACCESS, "ListPrincipals")["principals"]
    names = [it["principal"] for it in found]
    check("  and listed by name", "alice" in names and names == sorted(names), names)
    refused("  policies must exist", NOT_FOUND, lambda: put("alice", "nothing"))
    refused("  reserved names are refused", INVALID, lambda: put("database"), "principal")


def policies(admin):
    """A policy of the project applies from the next request on."""
    put = lambda document: admin(ACCESS, "PutPolicy", name="lister", document=json.dumps(document))["policy"]
    allow = lambda *actions: {"Version": "5.0", "Statement": [{"Effect": "Allow", "Action": actions}]}
    stored = put(allow("workspace:scripts:list"))
    check("a policy is stored", stored["name"] == "lister" and "ready" not in stored, stored)
    names = [(it["name"], it.get("ready", False)) for it in admin(ACCESS, "ListPolicies")["policies"]]
    ready = [("admin", True), ("operator", True), ("reader", True)]
    check("  and listed last", sorted(names[:3]) == ready and names[3:] == [("lister", False)], names)
    lister = person(admin, "lister", "lister")
    lister("ScriptService", "ListScripts")
    refused("  other calls are refused", FORBIDDEN, lambda: lister("ProjectService", "GetProject"))
    put(allow("workspace:scripts:list", "graywave:project:get"))
    check("  until the policy allows them", "project_id" in lister("ProjectService", "GetProject"))
    refused("  an action must match an existing one", INVALID, lambda: put(allow("workspace:scripts:lst")), "document")
    refused("  the document must be a policy", INVALID, lambda: put({"Statement": "all"}), "document")
    delete = lambda name: admin(ACCESS, "DeletePolicy", name=name)
    refused("a policy in use is not deleted", CONFLICT, lambda: delete("lister"))
    refused("  nor a ready policy", CONFLICT, lambda: delete("reader"))
    admin(ACCESS, "PutPrincipal", principal="lister")
    delete("lister")
    refused("  it is deleted", NOT_FOUND, lambda: delete("lister"))


def tokens(admin):
    make = lambda **more: admin(ACCESS, "CreateToken", principal="alice", **more)
    made, limited = make(), make(expire_time="2099-01-01T00:00:00Z")
    check("a token has an expiry", limited["token"]["expire_time"] == "2099-01-01T00:00:00Z", limited["token"])
    alice = admin.by(made["secret"])
    alice("ScriptService", "ListScripts")
    # As in the REST API.
    other = Admin(admin.channel, admin.reflected).sending(("x-auth-token", made["secret"]))
    check("  it may be sent in two headers", "project_id" in other("ProjectService", "GetProject"))
    rights = {
        "PutPrincipal": {"principal": "alice", "policies": ["admin"]},
        "CreateToken": {"principal": "alice"},
        "CreateKey": {"principal": "alice"},
    }
    for method, fields in rights.items():
        refused(f"an operator may not grant rights: {method}", FORBIDDEN, lambda: alice(ACCESS, method, **fields))
    listed = lambda: {it["token_id"]: it for it in admin(ACCESS, "ListTokens")["tokens"]}
    shown = [but_times(listed()[it["token"]["token_id"]]) for it in (made, limited)]
    expected = [but_times(it["token"]) for it in (made, limited)]
    check("tokens are listed without secrets", shown == expected, shown)
    admin(ACCESS, "RevokeToken", token_id=made["token"]["token_id"])
    check("  one is revoked", "revoke_time" in listed()[made["token"]["token_id"]])
    refused("  and is refused afterwards", UNKNOWN_CALLER, lambda: alice("ScriptService", "ListScripts"))
    admin.by(limited["secret"])("ScriptService", "ListScripts")
    refused("  an unknown token is not found", NOT_FOUND, lambda: admin(ACCESS, "RevokeToken", token_id="nothing"))
    past = lambda: make(expire_time="2001-01-01T00:00:00Z")
    refused("an expiry in the past is refused", INVALID, past, "expire_time")
    refused("  an unknown principal is not found", NOT_FOUND, lambda: admin(ACCESS, "CreateToken", principal="nobody"))


def keys(admin):
    make = lambda **more: admin(ACCESS, "CreateKey", **({"principal": "alice"} | more))
    made = make()
    name = made["key"]["access_key"]
    check("an access key is created", len(made["secret_key"]) == 40 and name, made["key"])
    listed = lambda: [it for it in admin(ACCESS, "ListKeys")["keys"] if it["access_key"] == name]
    shown = [but_times(it) for it in listed()]
    check("  and listed without its secret", shown == [but_times(made["key"])], shown)
    admin(ACCESS, "RevokeKey", access_key=name)
    check("  it is revoked", "revoke_time" in listed()[0], listed())
    refused("  an unknown key is not found", NOT_FOUND, lambda: admin(ACCESS, "RevokeKey", access_key="nothing"))
    refused("an unknown principal is not found", NOT_FOUND, lambda: make(principal="nobody"))
    past = lambda: make(expire_time="2001-01-01T00:00:00Z")
    refused("  an expiry in the past is refused", INVALID, past, "expire_time")


def everything(admin):
    strangers(admin)
    readers(admin)
    rights(admin)
    principals(admin)
    policies(admin)
    tokens(admin)
    keys(admin)
