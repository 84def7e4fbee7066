"""Drives the admin gRPC of a running `graywave dev` with code that the official protoc generates from the protos.

Usage: admin_generated.py READY, where READY is the line of JSON that `graywave dev --desktops 6` prints.
"""

import importlib.resources
import json
import pathlib
import sys
import tempfile

import grpc
from grpc_tools import protoc

from admin.checks import INVALID, PATIENCE_S, UNKNOWN_CALLER, check, refusal, refused

PROTOS = pathlib.Path(__file__).parents[2] / "proto"
GENERATED = tempfile.TemporaryDirectory(prefix="graywave-generated-")


def compile_protos():
    """Generates modules from the protos and makes them importable."""
    files = sorted(map(str, (PROTOS / "graywave/admin/v1").glob("*.proto")))
    well_known = importlib.resources.files("grpc_tools") / "_proto"
    outputs = [f"--python_out={GENERATED.name}", f"--grpc_python_out={GENERATED.name}"]
    status = protoc.main(["protoc", f"-I{PROTOS}", f"-I{well_known}", *outputs, *files])
    check(f"protoc compiles {len(files)} protos", files and status == 0, status)
    sys.path.insert(0, GENERATED.name)


compile_protos()

from graywave.admin.v1 import desktop_service_pb2, insight_service_pb2, record_service_pb2, script_service_pb2
from graywave.admin.v1 import task_pb2, task_service_pb2, types_pb2
from graywave.admin.v1.desktop_service_pb2_grpc import DesktopServiceStub
from graywave.admin.v1.insight_service_pb2_grpc import InsightServiceStub
from graywave.admin.v1.record_service_pb2_grpc import RecordServiceStub
from graywave.admin.v1.script_service_pb2_grpc import ScriptServiceStub
from graywave.admin.v1.task_service_pb2_grpc import TaskServiceStub


def listed(channel, caller):
    stub, ids, token = DesktopServiceStub(channel), [], ""
    while True:
        request = desktop_service_pb2.ListDesktopsRequest(page_size=4, page_token=token)
        page = stub.ListDesktops(request, **caller)
        here = {desktop.presence for desktop in page.desktops}
        check("a page of desktops", len(page.desktops) <= 4 and here == {desktop_service_pb2.PRESENCE_ACTIVE}, page)
        check("  with their tags", all(desktop.tags["group"] == "dev" for desktop in page.desktops), page)
        ids += [desktop.desktop_id for desktop in page.desktops]
        token = page.next_page_token
        if not token:
            check("six desktops are listed", len(set(ids)) == 6, ids)
            return ids


def gray(desktop_ids, content, gray_count=2):
    """A request for a task whose gray wave halts at its first failure."""
    command = types_pb2.Command(command_type=types_pb2.SCRIPT_TYPE_SHELL, content=content)
    spec = task_service_pb2.TaskSpec(desktop_ids=desktop_ids, command=command, gray_count=gray_count)
    spec.gray_desktop_ids.append(desktop_ids[0])
    spec.gray_fail_threshold = 1
    return task_service_pb2.SubmitTaskRequest(task=spec)


def watched(stub, task_id, caller):
    """The kinds of the task's events, and the last progress received."""
    kinds, progress = [], None
    for message in stub.WatchTask(task_service_pb2.WatchTaskRequest(task_id=task_id), **caller):
        match message.WhichOneof("update"):
            case "event":
                kinds.append(message.event.kind)
            case "progress":
                progress = message.progress
            case other:
                check("a message has a known content", False, other)
    return kinds, progress


def good(channel, caller, desktop_ids):
    stub = TaskServiceStub(channel)
    made = stub.SubmitTask(gray(desktop_ids, "echo on $GRAYWAVE_DESKTOP_ID"), **caller).task
    check("a gray task has two waves", [wave.size for wave in made.waves] == [2, 4], made)
    kinds, progress = watched(stub, made.task_id, caller)
    ends = kinds.count(task_pb2.EVENT_KIND_WAVE_OPENED), kinds[-1]
    check("it is watched to its end", ends == (2, task_pb2.EVENT_KIND_ENDED), kinds)
    counts = [wave.targets.success for wave in progress.waves]
    seen = (progress.status, counts)
    check("  with its progress", seen == (task_pb2.TASK_STATUS_SUCCESS, [2, 4]), progress)
    request = record_service_pb2.StreamRecordsRequest(task_id=made.task_id)
    records = [message.record for message in RecordServiceStub(channel).StreamRecords(request, **caller)]
    printed = {record.desktop_id: record.output for record in records}
    check("the output is streamed", printed == {it: f"on {it}\n" for it in desktop_ids}, printed)
    # An exit code of 0 differs from a missing exit code.
    check("  with exit codes", all(record.HasField("exit_code") for record in records), records)


def halted(channel, caller, desktop_ids):
    stub = TaskServiceStub(channel)
    task_id = stub.SubmitTask(gray(desktop_ids, "echo disk full; exit 1"), **caller).task.task_id
    kinds, _ = watched(stub, task_id, caller)
    check("a failing task is halted", task_pb2.EVENT_KIND_HALTED in kinds, kinds)
    task = stub.GetTask(task_service_pb2.GetTaskRequest(task_id=task_id), **caller).task
    check("  in its gray wave", task.status == task_pb2.TASK_STATUS_HALTED and task.reason, task)
    check("  the rest never ran", task.records.skipped == 4 and not task.waves[1].admitted, task)
    check("  it ended after it began", task.end_time.ToDatetime() >= task.start_time.ToDatetime(), task)
    request = insight_service_pb2.ListFailuresRequest(task_id=task_id)
    [group] = InsightServiceStub(channel).ListFailures(request, **caller).groups
    seen = (group.outcome, group.exit_code, group.fingerprint, group.share_percent)
    check("its failures are one group", seen == (types_pb2.OUTCOME_FAILED, 1, "disk full", 100.0), group)
    check("  of the gray wave", [wave.wave for wave in group.waves] == [1], group)


def updated(channel, caller):
    stub = ScriptServiceStub(channel)
    script = script_service_pb2.Script(name="a", script_type=types_pb2.SCRIPT_TYPE_SHELL, content="true", version="1")
    script = stub.CreateScript(script_service_pb2.CreateScriptRequest(script=script), **caller).script
    script.name, script.content, script.version = "b", "false", "2"
    request = script_service_pb2.UpdateScriptRequest(script=script)
    request.update_mask.paths.extend(["content", "version"])
    saved = stub.UpdateScript(request, **caller).script
    seen = (saved.name, saved.content, saved.version, saved.revision)
    check("fields in the mask are saved", seen == ("a", "false", "2", 2), saved)
    request.update_mask.FromJsonString("scriptType")
    refused("  other names are refused", INVALID, lambda: stub.UpdateScript(request, **caller), "update_mask")


def wrong(channel, caller, desktop_ids):
    stub = TaskServiceStub(channel)
    many = gray(desktop_ids, "true", gray_count=7)
    refused("a bad request names its field", INVALID, lambda: stub.SubmitTask(many, **caller), "task.gray_count")
    stranger = caller | {"metadata": [("authorization", "Bearer nobody's")]}
    refused("a wrong token is refused", UNKNOWN_CALLER, lambda: stub.SubmitTask(many, **stranger))

    held = gray(desktop_ids, "true")
    held.task.rollout.approval.before_waves.append(1)
    task_id = stub.SubmitTask(held, **caller).task.task_id
    request = task_service_pb2.WatchTaskRequest(task_id=task_id)
    error = refusal(lambda: stub.WatchTask(request, **caller | {"timeout": 0.5}))
    check("a deadline ends a stream", error.code() == grpc.StatusCode.DEADLINE_EXCEEDED, error)
    request = task_service_pb2.StopTaskRequest(task_id=task_id, mode=task_service_pb2.STOP_MODE_KILL)
    stopped = stub.StopTask(request, **caller).task
    check("  the waiting task is stopped", stopped.status == task_pb2.TASK_STATUS_STOPPED, stopped)


def main():
    ready = json.loads(sys.argv[1])
    caller = {"metadata": [("authorization", f"Bearer {ready['token']}")], "timeout": PATIENCE_S}
    with GENERATED, grpc.insecure_channel(ready["grpc"].removeprefix("http://")) as channel:
        desktop_ids = listed(channel, caller)
        good(channel, caller, desktop_ids)
        halted(channel, caller, desktop_ids)
        updated(channel, caller)
        wrong(channel, caller, desktop_ids)


main()
