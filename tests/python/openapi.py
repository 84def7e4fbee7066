"""Tests the OpenAPI document against a running `graywave dev`: every operation, with valid and invalid data.

Usage: openapi.py READY, where READY is the line of JSON that `graywave dev --desktops 6` prints.

No answer may be a fault of the server, have a status or a body that the document does not describe, or accept what the
document forbids.
"""

import json
import os
import pathlib
import subprocess
import sys
import time
import urllib.request

HERE = pathlib.Path(__file__).parent
# Ten times the usual duration. Not --max-time: that repeats the tests until the time is over.
LONGEST_S = 300


def call(ready, method, path, body=None, family="/v2"):
    request = urllib.request.Request(
        f"{ready['http']}{family}/{ready['project_id']}{path}",
        method=method,
        data=json.dumps(body).encode() if body else None,
        headers={"X-Auth-Token": ready["token"]},
    )
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def something_to_name(ready):
    """Existing ids, so that calls with ids get beyond 404."""
    script = {"name": "for the document", "type": "SHELL", "content": "exit $((GRAYWAVE_ATTEMPT % 2))"}
    script_id = call(ready, "POST", "/scripts", script)["script_id"]
    execution = {"script_ids": [script_id]}
    task_id = call(ready, "POST", "/desktop-pools/dev-pool/script-executions", execution)["task_id"]
    deadline = time.monotonic() + 60
    while not call(ready, "GET", f"/script-execution-tasks?task_id={task_id}")["script_tasks"][0]["end_time"]:
        if time.monotonic() > deadline:
            sys.exit("timeout: the task used by the test did not end")
        time.sleep(0.05)
    # A separate principal: access calls that change the principal of the token in use would lock
    # the test out.
    access = lambda method, path, body: call(ready, method, f"/access{path}", body, "/v1/projects")
    access("PUT", "/principals/tried", {"policies": ["reader"]})
    access("PUT", "/policies/tried", {"Version": "5.0", "Statement": [{"Effect": "Allow", "Action": ["*"]}]})
    return {
        "GRAYWAVE_SCRIPT": script_id,
        "GRAYWAVE_TASK": task_id,
        "GRAYWAVE_RECORD": f"{task_id}-0-0-1",
        "GRAYWAVE_TRIED_TOKEN": access("POST", "/tokens", {"principal": "tried"})["token_id"],
        "GRAYWAVE_TRIED_KEY": access("POST", "/keys", {"principal": "tried"})["access_key"],
    }


def main():
    ready = json.loads(sys.argv[1])
    environment = {
        **os.environ,
        **something_to_name(ready),
        "GRAYWAVE_TOKEN": ready["token"],
        "GRAYWAVE_PROJECT": ready["project_id"],
    }
    # Run as a module: the interpreter path in `st` is wrong after the environment was moved.
    arguments = [
        sys.executable, "-m", "schemathesis.cli", "--config-file", HERE / "schemathesis.toml", "run", f"{ready['http']}/openapi.json",
        "--checks", "all", "--phases", "coverage,fuzzing,stateful", "--max-examples", "30", "--seed", "1",
    ]
    try:
        sys.exit(subprocess.run(arguments, env=environment, timeout=LONGEST_S).returncode)
    except subprocess.TimeoutExpired:
        sys.exit(f"the test did not end within {LONGEST_S} s; the server may hang")


main()
