"""Steps that several subjects share."""

import pathlib
import tempfile

from .checks import look_until


def command(content):
    return {"command_type": "SCRIPT_TYPE_SHELL", "content": content}


def submit(admin, desktops, content, rollout=None, **more):
    """Submits a task with one command."""
    task = {"desktop_ids": desktops, "command": command(content), "rollout": rollout or {}}
    return admin("TaskService", "SubmitTask", task=task, **more)["task"]


def get(admin, task_id):
    return admin("TaskService", "GetTask", task_id=task_id)["task"]


def ended(admin, task_id):
    """The task, once it has ended."""
    return look_until("  it ends", lambda: (task := get(admin, task_id)).get("end_time") and task)


def events(admin, task_id):
    """The events of an ended task."""
    told = admin("TaskService", "WatchTask", task_id=task_id)
    return [message["event"] for message in told if "event" in message]


def records(admin, task_id, **filters):
    """The records of a task."""
    return admin("RecordService", "ListRecords", task_id=task_id, filter=filters).get("records", [])


def person(admin, name, *policies):
    """Another principal of the project with these policies."""
    admin("AccessService", "PutPrincipal", principal=name, policies=policies)
    return admin.by(admin("AccessService", "CreateToken", principal=name)["secret"])


class Door:
    """A gate that scripts wait for, so that they run until a test opens it."""

    def __enter__(self):
        self.directory = tempfile.TemporaryDirectory(prefix="graywave-door-")
        self.path = pathlib.Path(self.directory.name, "open")
        return self

    def __exit__(self, *_):
        self.directory.cleanup()

    def wait(self):
        """A line of a script that waits until the gate is open or deleted."""
        return f"while [ -d {self.path.parent} ] && [ ! -e {self.path} ]; do sleep 0.05; done"

    def open(self):
        self.path.touch()
