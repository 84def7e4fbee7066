"""Drives every call of the admin gRPC of a running `graywave dev` through reflection alone.

Usage: admin_grpc.py READY, where READY is the line of JSON that `graywave dev --desktops 6` prints.

A call that is new fails here until something in the directory `admin` makes it.
"""

import json
import sys

import grpc

from admin import access, afterwards, desktops, interventions, project, results, scripts, server, tasks
from admin.reflected import Admin, Reflected


def main():
    ready = json.loads(sys.argv[1])
    with grpc.insecure_channel(ready["grpc"].removeprefix("http://")) as channel:
        reflected = Reflected(channel)
        server.described(channel, reflected)
        server.healthy(channel, reflected.services)

        admin = Admin(channel, reflected).by(ready["token"])
        desktop_ids = desktops.listed(admin)
        tasks.everything(admin, desktop_ids)
        interventions.everything(admin, desktop_ids)
        task_id, group_id = results.everything(admin, desktop_ids)
        project.everything(admin, desktop_ids, ready["project_id"])
        desktops.everything(admin, desktop_ids)
        script_id = scripts.everything(admin, desktop_ids[0])
        access.everything(admin)
        # The tests below disconnect and reconnect desktops.
        project.workers(admin, desktop_ids)
        afterwards.everything(admin, task_id, script_id, group_id)
        server.all_called(reflected)


main()
