"""Drives the admin gRPC of a running `graywave dev` with what reflection tells of it, and nothing else.

Usage: admin_grpc.py READY, where READY is the line of JSON that `graywave dev --desktops 6` prints.
"""

import json
import sys
import time

import grpc
from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from google.rpc import error_details_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase
from grpc_status import rpc_status

PATIENCE_S = 60
LOOK_EVERY_S = 0.05
PACKAGE = "graywave.admin.v1"


def check(what, condition, seen=None):
    """Says what was looked at, and stops at the first that is not so."""
    if not condition:
        sys.exit(f"NOT SO: {what}: {seen}")
    print(f"   {what}", flush=True)


class Admin:
    """Every call, by its name; requests and answers are what JSON has."""

    def __init__(self, channel, token):
        self.channel = channel
        self.metadata = [("authorization", f"Bearer {token}")]
        self.reflection = ProtoReflectionDescriptorDatabase(channel)
        self.pool = DescriptorPool(self.reflection)

    def __call__(self, service, method, **fields):
        found = self.pool.FindServiceByName(f"{PACKAGE}.{service}").methods_by_name[method]
        request = json_format.ParseDict(fields, message_factory.GetMessageClass(found.input_type)())
        answer = message_factory.GetMessageClass(found.output_type)
        path = f"/{PACKAGE}.{service}/{method}"
        if not found.server_streaming:
            call = self.channel.unary_unary(path, lambda it: it.SerializeToString(), answer.FromString)
            return self.read(call(request, metadata=self.metadata, timeout=PATIENCE_S))
        call = self.channel.unary_stream(path, lambda it: it.SerializeToString(), answer.FromString)
        return map(self.read, call(request, metadata=self.metadata, timeout=PATIENCE_S))

    def read(self, message):
        return json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=self.pool)


def details(error):
    """The details of a refusal, by their type."""
    found = {}
    for detail in rpc_status.from_call(error).details:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            message = kind()
            if detail.Unpack(message):
                found[kind.DESCRIPTOR.name] = message
    return found


def refused(what, code, call):
    try:
        call()
    except grpc.RpcError as error:
        check(what, error.code() == code, error)
        return details(error)
    sys.exit(f"NOT SO: {what}: it was not refused")


def look_until(what, look):
    """Looks until something is so."""
    deadline = time.monotonic() + PATIENCE_S
    while not look():
        if time.monotonic() > deadline:
            sys.exit(f"NOT SO: {what}")
        time.sleep(LOOK_EVERY_S)
    check(what, True)


def desktops_and_enrolment(admin, desktop_id):
    """What operators make of desktops, and the tokens with which machines become some."""
    pool = {"pool": "lab"}
    tagged = admin("DesktopService", "TagDesktop", desktop_id=desktop_id, set=pool)["desktop"]
    check("an operator's tag is set", tagged["tags"] == tagged["operator_tags"] == pool, tagged)
    task = {"desktop_tag": "pool=lab", "command": {"command_type": "SCRIPT_TYPE_SHELL", "content": "true"}}
    preview = admin("TaskService", "PreviewTask", task=task)
    check("a task may choose by it", [wave["size"] for wave in preview["waves"]] == [1], preview)
    plain = admin("DesktopService", "TagDesktop", desktop_id=desktop_id, remove=["pool"])["desktop"]
    check("it is removed", "tags" not in plain, plain)

    retired = admin("DesktopService", "RetireDesktop", desktop_id=desktop_id)["desktop"]
    check("a desktop is retired", "retire_time" in retired and retired["presence"] == "PRESENCE_SHUTOFF", retired)
    rest = [desktop["desktop_id"] for desktop in admin("DesktopService", "ListDesktops")["desktops"]]
    only = admin("DesktopService", "ListDesktops", retired="RETIRED_FILTER_ONLY")["desktops"]
    check("it is listed when it is asked for", desktop_id not in rest and len(only) == 1, (rest, only))
    refused(
        "a task that names it is refused",
        grpc.StatusCode.FAILED_PRECONDITION,
        lambda: admin("TaskService", "SubmitTask", task=task | {"desktop_tag": "", "desktop_ids": [desktop_id]}),
    )
    admin("DesktopService", "UnretireDesktop", desktop_id=desktop_id)
    shown = lambda: admin("DesktopService", "GetDesktop", desktop_id=desktop_id)["desktop"]
    look_until("its agent is let in again", lambda: shown()["presence"] == "PRESENCE_ACTIVE")
    revoked = admin("DesktopService", "RevokeDesktop", desktop_id=desktop_id)
    check("without TLS there is nothing to revoke", revoked == {"is_known": True}, revoked)

    made = admin("EnrolmentService", "CreateEnrolmentToken", uses=2)
    token = made["enrolment_token"]
    check("an enrolment token is shown once", len(made["secret"]) == 48 and token["max_uses"] == 2, token)
    admin("EnrolmentService", "RevokeEnrolmentToken", token_id=token["token_id"])
    listed = admin("EnrolmentService", "ListEnrolmentTokens")["enrolment_tokens"]
    check("it is listed as revoked", [("revoke_time" in it, "secret" in it) for it in listed] == [(True, False)], listed)


def main():
    ready = json.loads(sys.argv[1])
    address = ready["grpc"].removeprefix("http://")
    with grpc.insecure_channel(address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        for service in ("", f"{PACKAGE}.TaskService"):
            answer = health.Check(health_pb2.HealthCheckRequest(service=service), timeout=PATIENCE_S)
            check(f"health of {service or 'the server'}", answer.status == health_pb2.HealthCheckResponse.SERVING)

        admin = Admin(channel, ready["token"])
        services = set(admin.reflection.get_services())
        check("reflection names the services", f"{PACKAGE}.TaskService" in services, services)

        desktops, token = [], ""
        while True:
            page = admin("DesktopService", "ListDesktops", page_size=4, page_token=token)
            desktops += [desktop["desktop_id"] for desktop in page["desktops"]]
            token = page.get("next_page_token", "")
            if not token:
                break
        check("desktops are listed in pages", len(desktops) == 6 and len(set(desktops)) == 6, desktops)

        spec = {
            "desktop_ids": desktops,
            "command": {"command_type": "SCRIPT_TYPE_SHELL", "content": "echo on $GRAYWAVE_DESKTOP_ID"},
            "rollout": {"waves": [{"count": "1"}, {"rest": True}], "fail_threshold": {"count": "2"}},
        }
        preview = admin("TaskService", "PreviewTask", task=spec)
        check("a preview has the waves", [wave["size"] for wave in preview["waves"]] == [1, 5], preview)
        task = admin("TaskService", "SubmitTask", task=spec, idempotency_key="the-same")["task"]
        again = admin("TaskService", "SubmitTask", task=spec, idempotency_key="the-same")["task"]
        check("a key makes one task", again["task_id"] == task["task_id"])

        told = list(admin("TaskService", "WatchTask", task_id=task["task_id"]))
        kinds = [message["event"]["kind"] for message in told if "event" in message]
        check("it is watched to its end", kinds[0] == "EVENT_KIND_ACCEPTED" and kinds[-1] == "EVENT_KIND_ENDED", kinds)
        rest = list(admin("TaskService", "WatchTask", task_id=task["task_id"], cursor=told[-2]["cursor"]))
        check("the stream goes on from a cursor", [m["event"]["kind"] for m in rest if "event" in m] == kinds[-1:], rest)
        ended = admin("TaskService", "GetTask", task_id=task["task_id"])["task"]
        check("everything succeeded", ended["status"] == "TASK_STATUS_SUCCESS", ended)

        records = list(admin("RecordService", "StreamRecords", task_id=task["task_id"]))
        printed = {message["record"]["output"] for message in records}
        check("what was printed is streamed", printed == {f"on {desktop}\n" for desktop in desktops}, printed)

        tasks = admin("TaskService", "ListTasks", page_size=1)["tasks"]
        check("tasks are listed", tasks[0]["task_id"] == task["task_id"], tasks)

        desktops_and_enrolment(admin, desktops[0])

        wrong = refused(
            "a bad request is refused",
            grpc.StatusCode.INVALID_ARGUMENT,
            lambda: admin("TaskService", "SubmitTask", task=spec | {"rollout": {"waves": [{"count": "0"}]}}),
        )
        fields = [violation.field for violation in wrong["BadRequest"].field_violations]
        check("the field is named", fields == ["task.rollout.waves[0].count"], fields)
        info = wrong["ErrorInfo"]
        check("the code is that of REST", (info.reason, info.domain) == ("WKS.00211102", "graywave"), info)
        admin.metadata = []
        refused(
            "without a token nothing is told",
            grpc.StatusCode.UNAUTHENTICATED,
            lambda: admin("TaskService", "GetTask", task_id=task["task_id"]),
        )


main()
