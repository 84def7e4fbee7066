"""Drives the official SDK through every call of the script API, against a running `graywave dev`.

Usage: sdk.py READY, where READY is the line of JSON that `graywave dev --desktops 6` prints.

Everything is done twice: signed with the access key, and with a token. Nothing of the SDK is changed but its endpoint.
"""

import json
import sys
import time

from huaweicloudsdkcore.auth.credentials import BasicCredentials
from huaweicloudsdkcore.exceptions.exceptions import ClientRequestException
from huaweicloudsdkworkspace.v2 import *  # noqa: F403  the SDK's models, by their published names
from huaweicloudsdkworkspace.v2 import WorkspaceClient

PATIENCE_S = 60


def check(what, condition, seen=None):
    """Prints the check and exits at the first failed one."""
    if not condition:
        sys.exit(f"FAILED: {what}: {seen}")
    print(f"   {what}", flush=True)


def refused(what, status, code, call):
    """Expects a refusal with this status and code, which the SDK returns with the request id."""
    try:
        call()
    except ClientRequestException as error:
        seen = (error.status_code, error.error_code, error.error_msg, error.request_id)
        check(what, error.status_code == status and error.error_code == code and error.request_id, seen)
        return
    sys.exit(f"FAILED: {what}: the request was not refused")


def wait_for(what, look):
    deadline = time.monotonic() + PATIENCE_S
    while time.monotonic() < deadline:
        seen = look()
        if seen:
            return seen
        time.sleep(0.05)
    sys.exit(f"FAILED: timeout: {what}")


class Run:
    """All calls with one kind of credential."""

    def __init__(self, name, client):
        self.name = name
        self.client = client

    def script(self, name, content):
        body = CreateScriptReq(name=f"{name} {self.name}", type="SHELL", content=content, description="d", version="1")
        return self.client.create_script(CreateScriptRequest(body=body)).script_id

    def task(self, task_id):
        found = self.client.list_script_tasks(ListScriptTasksRequest(task_id=[task_id]))
        return found.script_tasks[0]

    def ended(self, task_id):
        return wait_for("the task's end", lambda: (task := self.task(task_id)).end_time and task)

    def records(self, task_id, **filters):
        request = ListScriptRecordsRequest(script_task_id=task_id, limit=100, **filters)
        return self.client.list_script_records(request).script_records

    def execute(self, **fields):
        body = ExecuteScriptOrCommandReq(resource_type="DESKTOP", **fields)
        return self.client.execute_script_or_command(ExecuteScriptOrCommandRequest(body=body)).task_id

    def retry(self, **fields):
        request = RetryScriptExecutionRequest(body=RetryScriptExecutionReq(**fields))
        return self.client.retry_script_execution(request).task_id

    def stop(self, **fields):
        return self.client.stop_script_execution(StopScriptExecutionRequest(body=StopScriptExecutionReq(**fields)))

    def all(self):
        desktops = self.desktops()
        self.scripts()
        self.revisions(desktops)
        self.gray(desktops)
        self.halt_and_retry(desktops)
        self.stops(desktops)
        self.command(desktops)
        self.groups(desktops)
        self.filters(desktops)

    def desktops(self):
        found = self.client.list_desktops(ListDesktopsRequest(limit=100, status="ACTIVE"))
        check("ListDesktops", found.total_count == len(found.desktops) >= 6, found)
        one = found.desktops[0]
        check("  a desktop's fields", one.status == "ACTIVE" and one.connect_status == "REGISTERED", one)
        ids = [desktop.desktop_id for desktop in found.desktops]
        some = self.client.list_desktops(ListDesktopsRequest(desktop_id=ids[:2], tag="group=dev"))
        check("  by repeated desktop_id and tag", [d.desktop_id for d in some.desktops] == ids[:2], some)
        request = ListDesktopsDetailRequest(sort_field="computer_name", sort_type="DESC", pool_id="dev-pool")
        detail = self.client.list_desktops_detail(request)
        names = [desktop.computer_name for desktop in detail.desktops]
        check("ListDesktopsDetail", detail.total_count == len(ids) and names == sorted(names, reverse=True), detail)
        check("  a desktop's fields", detail.desktops[0].login_status == "REGISTERED", detail.desktops[0])
        return ids

    def scripts(self):
        script_id = self.script("caf\u00e9 100% + a/b ~*'()", "echo one")
        shown = self.client.show_script_detail(ShowScriptDetailRequest(script_id=script_id))
        check("CreateScript, ShowScriptDetail", shown.content == "echo one" and shown.type == "SHELL", shown)
        check("  times", str(shown.create_time).endswith("Z"), shown)
        by_name = self.client.list_scripts(ListScriptsRequest(name=shown.name, type="SHELL"))
        check("ListScripts by an odd name", by_name.count == 1 and by_name.scripts[0].id == script_id, by_name)
        by_id = self.client.list_scripts(ListScriptsRequest(id=script_id))
        check("  by id", [script.id for script in by_id.scripts] == [script_id], by_id)
        other_type = self.client.list_scripts(ListScriptsRequest(id=script_id, type="BAT"))
        check("  not by another type", (other_type.count, other_type.scripts) == (0, []), other_type)
        other_id = self.script("another", "true")
        pages = [self.client.list_scripts(ListScriptsRequest(offset=offset, limit=1)) for offset in (0, 1)]
        ids = {script.id for page in pages for script in page.scripts}
        check("  page by page", ids == {script_id, other_id} and pages[0].count == pages[1].count >= 2, pages)
        body = UpdateScriptReq(name=f"renamed {self.name}", content="echo two")
        answer = self.client.update_script(UpdateScriptRequest(script_id=script_id, body=body))
        check("UpdateScript answers 204", answer.status_code == 204, answer)
        shown = self.client.show_script_detail(ShowScriptDetailRequest(script_id=script_id))
        check("  omitted fields are cleared", (shown.content, shown.version) == ("echo two", ""), shown)
        answer = self.client.delete_script(DeleteScriptRequest(script_id=script_id))
        check("DeleteScript answers 204", answer.status_code == 204, answer)
        show = ShowScriptDetailRequest(script_id=script_id)
        refused("  it is deleted", 404, "WKS.00211902", lambda: self.client.show_script_detail(show))

    def revisions(self, desktops):
        script_id = self.script("revised", "echo first")
        task_id = self.execute(resource_ids=desktops[:1], script_ids=[script_id])
        body = UpdateScriptReq(name=f"revised {self.name}", content="echo second")
        self.client.update_script(UpdateScriptRequest(script_id=script_id, body=body))
        request = ShowScriptDetailRequest(script_id=script_id, script_task_id=task_id)
        check("the revision that a task ran", self.client.show_script_detail(request).content == "echo first")
        self.ended(task_id)
        record = self.records(task_id)[0]
        request = ShowScriptRecordDetailRequest(record_id=record.id)
        detail = self.client.show_script_record_detail(request)
        check("ShowScriptRecordDetail", (detail.status, detail.output) == ("SUCCESS", "first\n"), detail)

    def gray(self, desktops):
        script_id = self.script("good", "echo $GRAYWAVE_WAVE")
        task_id = self.execute(
            resource_ids=desktops, script_ids=[script_id], gray_count=2, gray_resource_ids=[desktops[3]],
            gray_fail_threshold=1, execution_timeout=5,
        )
        task = self.ended(task_id)
        seen = (task.status, task.success_num, task.failed_num, task.skip_num)
        check("ExecuteScriptOrCommand, ListScriptTasks", seen == ("SUCCESS", len(desktops), 0, 0), task)
        check("  the gray wave", len(task.gray_resource_ids) == 2 and task.gray_resource_ids[0] == desktops[3], task)
        check("  its scripts", task.task_scripts[0].id == script_id, task)
        first = self.records(task_id, is_first_order=True)
        check("ListScriptRecords, is_first_order", [r.execute_order for r in first] == [1, 1], first)
        rest = self.records(task_id, is_first_order=False, status="SUCCESS")
        check("  the rest", {r.execute_order for r in rest} == {2} and len(rest) == len(desktops) - 2, rest)
        request = ListScriptRecordsRequest(
            script_task_id=task_id, resource_id=desktops[:2], script_id=[script_id], task_type="SCRIPT",
            show_history=True,
        )
        found = self.client.list_script_records(request)
        check("  by repeated resource_id", found.count == 2, found)

    def halt_and_retry(self, desktops):
        bad = self.script("bad", "echo attempt $GRAYWAVE_ATTEMPT; [ $GRAYWAVE_ATTEMPT != 1 ]")
        task_id = self.execute(
            resource_ids=desktops, script_ids=[bad], gray_count=2, gray_fail_threshold=1,
        )
        task = self.ended(task_id)
        skipped = len(desktops) - 2
        seen = (task.status, task.success_num, task.failed_num, task.skip_num)
        check("a gray wave that fails halts the rest", seen == ("FAILED", 0, 2, skipped), task)
        words = [record.status for record in self.records(task_id)]
        check("  its records", words[:1] == ["FAILED"] and words.count("SKIPPED") == skipped, words)
        codes = {record.result_code for record in self.records(task_id, status="FAILED")}
        check("  their result_code", codes == {"EXIT_CODE"}, codes)
        failed = self.records(task_id, status="FAILED")[0]
        one = self.retry(record_id=failed.id)
        check("RetryScriptExecution by record", self.ended(one).resource_ids == [failed.resource_id], one)
        rest = self.retry(task_id=task_id)
        ended = self.ended(rest)
        check("  by task, over the targets that did not succeed", ended.success_num == len(desktops) - 1, ended)
        check("  each as a new task", len({task_id, one, rest}) == 3, (task_id, one, rest))
        check("  the old task is kept", self.task(task_id).status == "FAILED")

    def stops(self, desktops):
        slow = self.script("slow", "sleep 600")
        task_id = self.execute(resource_ids=desktops[:3], script_ids=[slow])
        running = lambda: [r for r in self.records(task_id) if r.status == "RUNNING"]  # noqa: E731
        wait_for("all to run", lambda: len(running()) == 3)
        self.stop(record_id=self.records(task_id)[0].id)
        wait_for("one to stop", lambda: len(self.records(task_id, status="STOPPED")) == 1)
        check("StopScriptExecution by record leaves other records running", len(running()) == 2)
        begun = time.monotonic()
        answer = self.stop(task_id=task_id)
        check("  by task answers at once", answer.status_code == 200 and time.monotonic() - begun < 2, answer)
        ended = self.ended(task_id)
        check("  and kills running scripts", (ended.status, ended.failed_num) == ("FAILED", 3), ended)
        words = [record.status for record in self.records(task_id)]
        check("  whose records are STOPPED", words == ["STOPPED"] * 3, words)

    def command(self, desktops):
        task_id = self.execute(resource_ids=desktops[:1], command="echo hello", command_type="SHELL")
        self.ended(task_id)
        found = self.client.list_script_tasks(ListScriptTasksRequest(task_type="COMMAND", task_id=[task_id]))
        check("a command", found.count == 1, found)
        record = self.records(task_id, task_type="COMMAND")[0]
        detail = self.client.show_script_record_detail(ShowScriptRecordDetailRequest(record_id=record.id))
        check("  its output", detail.output == "hello\n", detail)

    def groups(self, desktops):
        body = ExecuteScriptByDesktopTagReq(
            desktop_tag="group=dev", command_content=f"echo {self.name}", command_type="SHELL", gray_count=2,
            gray_desktop_ids=desktops[:1], gray_fail_threshold=1, execution_timeout=1,
        )
        request = ExecuteScriptByDesktopTagRequest(body=body)
        by_tag = self.client.execute_script_by_desktop_tag(request).task_id
        check("ExecuteScriptByDesktopTag", self.ended(by_tag).success_num == len(desktops))
        on_pool = self.on_pool(desktops[1:3], "echo pool")
        check("ExecuteDesktopPoolScript", self.ended(on_pool).resource_ids == desktops[1:3])
        self.pool_tasks(desktops, on_pool, by_tag)
        request = ListScriptTasksRequest(resource_group_id=["dev-pool"], resource_group_type="DESKTOP_POOL")
        check("ListScriptTasks by pool", self.client.list_script_tasks(request).count >= 1)

    def on_pool(self, desktops, command):
        # The comment distinguishes the runs of the two credentials.
        body = ExecuteDesktopPoolScriptsReq(
            desktop_ids=desktops, command_content=f"{command} # {self.name}", command_type="SHELL",
        )
        request = ExecuteDesktopPoolScriptRequest(pool_id="dev-pool", body=body)
        return self.client.execute_desktop_pool_script(request).task_id

    def pool_tasks(self, desktops, good, by_tag):
        """Status names of the filter differ from those of the response."""
        bad = self.on_pool(desktops[:1], "exit 1")
        self.ended(bad)
        slow = self.on_pool(desktops[:1], "sleep 600")
        wait_for("it to run", lambda: self.task(slow).status == "RUNNING")
        expected = {
            "SUCCESS": [(good, "FINISH")], "FAILED": [(bad, "FAILED")], "RUNNING": [(slow, "RUNNING")], "WAITING": [],
        }
        for status, tasks in expected.items():
            request = ShowDesktopPoolsScriptExecTasksRequest(
                desktop_pool_id="dev-pool", task_id=[good, bad, slow, by_tag], status=status,
            )
            found = self.client.show_desktop_pools_script_exec_tasks(request)
            seen = [(task.id, task.status) for task in found.script_execution_tasks]
            check(f"ShowDesktopPoolsScriptExecTasks, {status}", (found.total_count, seen) == (len(tasks), tasks), found)
            pools = {task.desktop_pool_id for task in found.script_execution_tasks}
            check("  its pool", pools <= {"dev-pool"}, found)
        self.stop(task_id=slow)
        self.ended(slow)

    def filters(self, desktops):
        request = ListScriptTasksRequest(
            execute_time_start="2021-10-01T12:00:00Z", execute_time_end="2099-10-01T12:00:00Z", limit=5,
            script_name=f"good {self.name}",
        )
        check("ListScriptTasks by name and time", self.client.list_script_tasks(request).count == 1)
        request = ListScriptTasksRequest(execute_time_start="2099-10-01T12:00:00Z")
        check("  by a time in the future", self.client.list_script_tasks(request).count == 0)
        everything = self.client.list_script_tasks(ListScriptTasksRequest()).count
        empty = self.client.list_script_tasks(ListScriptTasksRequest(task_id=[], resource_group_id=[])).count
        check("  an empty list is no filter", empty == everything > 0, (empty, everything))
        refused(
            "a limit that is too large", 400, "WKS.00211102",
            lambda: self.client.list_scripts(ListScriptsRequest(limit=101)),
        )
        refused(
            "an empty request", 400, "WKS.00211102",
            lambda: self.client.execute_script_or_command(
                ExecuteScriptOrCommandRequest(body=ExecuteScriptOrCommandReq())
            ),
        )
        refused(
            "a desktop that does not exist", 404, "WKS.00211902",
            lambda: self.execute(resource_ids=[*desktops, "nowhere"], command="true", command_type="SHELL"),
        )


def client_of(ready, secret_key=None, project_id=None):
    credentials = BasicCredentials(
        ready["access_key"], secret_key or ready["secret_key"], project_id or ready["project_id"]
    )
    return WorkspaceClient.new_builder().with_credentials(credentials).with_endpoint(ready["http"]).build()


def token_client_of(ready, token, project_id=None):
    client = client_of(ready, secret_key="not the secret key", project_id=project_id)
    # A preset Authorization header keeps the SDK from signing, so only the token authenticates.
    client.preset_headers = {"X-Auth-Token": token, "Authorization": "none"}
    return client


def refusals(ready):
    """Refused credentials."""
    foreign = "another-project"
    for what, status, code, client in [
        ("a wrong secret key", 401, "WKS.00211302", client_of(ready, secret_key="not the secret key")),
        ("a wrong token", 401, "WKS.00211302", token_client_of(ready, "not the token")),
        ("another project, signed", 403, "WKS.00081102", client_of(ready, project_id=foreign)),
        ("another project, with a token", 403, "WKS.00081102", token_client_of(ready, ready["token"], foreign)),
    ]:
        refused(what, status, code, lambda: client.list_scripts(ListScriptsRequest()))
    run = Run("twice", client_of(ready))
    # Signature times have whole seconds: within the same second both requests are identical.
    time.sleep(1 - time.time() % 1)
    run.script("replayed", "true")
    refused("a signed change sent again", 401, "WKS.00211302", lambda: run.script("replayed", "true"))


def main():
    ready = json.loads(sys.argv[1])
    print("signed", flush=True)
    Run("signed", client_of(ready)).all()
    print("with a token", flush=True)
    Run("token", token_client_of(ready, ready["token"])).all()
    print("refused", flush=True)
    refusals(ready)
    print("all sixteen calls passed, signed and with a token")


main()
