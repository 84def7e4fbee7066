"""Helpers that check, expect refusals and wait."""

import sys
import time

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

PATIENCE_S = 60
LOOK_EVERY_S = 0.05
DOMAIN = "graywave"

# Refusals by gRPC code and by the error_code in the metadata of their ErrorInfo.
INVALID = (grpc.StatusCode.INVALID_ARGUMENT, "WKS.00211102")
UNKNOWN_CALLER = (grpc.StatusCode.UNAUTHENTICATED, "WKS.00211302")
FORBIDDEN = (grpc.StatusCode.PERMISSION_DENIED, "WKS.00081102")
NOT_FOUND = (grpc.StatusCode.NOT_FOUND, "WKS.00211902")
CONFLICT = (grpc.StatusCode.FAILED_PRECONDITION, "WKS.00211409")
OTHER_REQUEST = (grpc.StatusCode.ALREADY_EXISTS, "WKS.00211410")
TOO_MANY = (grpc.StatusCode.RESOURCE_EXHAUSTED, "WKS.00211429")
UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "WKS.00050902")


def check(what, condition, seen=None):
    """Prints the check and exits at the first failed one."""
    if not condition:
        sys.exit(f"FAILED: {what}: {seen}")
    print(f"   {what}", flush=True)


def details(error):
    """The details of a refusal, by type."""
    found = {}
    status = rpc_status.from_call(error)
    for detail in status.details if status else []:
        for kind in (error_details_pb2.ErrorInfo, error_details_pb2.BadRequest, error_details_pb2.RetryInfo):
            message = kind()
            if detail.Unpack(message):
                found[kind.DESCRIPTOR.name] = message
    return found


def fields(error):
    """The fields that a refusal names."""
    found = details(error).get("BadRequest", error_details_pb2.BadRequest())
    return [violation.field for violation in found.field_violations]


def refusal(call):
    """The refusal of a call; `None` if it succeeds. Streams are read to their end."""
    try:
        answer = call()
        if hasattr(answer, "__next__"):
            list(answer)
    except grpc.RpcError as error:
        return error


def is_refusal(error, kind):
    """Whether a call was refused like this, with the matching details."""
    if error is None:
        return False
    code, error_code = kind
    found = details(error)
    info = found.get("ErrorInfo", error_details_pb2.ErrorInfo())
    return (
        error.code() == code
        and (info.metadata["error_code"], info.domain) == (error_code, DOMAIN)
        and info.reason.replace("_", "").isupper()
        # Other kinds of refusal may also name a field, such as the desktops that do not exist.
        and ("BadRequest" in found or kind != INVALID)
        and ("RetryInfo" in found) == (kind in (TOO_MANY, UNAVAILABLE))
    )


def refused(what, kind, call, field=None):
    """Expects a refusal of this kind; for an invalid request, with this field."""
    error = refusal(call)
    check(what, is_refusal(error, kind) and (field is None or fields(error) == [field]), error)


def but_times(found):
    """A message without its times: those of a creation are more precise than the stored ones."""
    return {name: value for name, value in found.items() if not name.endswith("_time")}


def look_until(what, look):
    """Polls until a condition holds and returns the last value."""
    deadline = time.monotonic() + PATIENCE_S
    while not (seen := look()):
        if time.monotonic() > deadline:
            sys.exit(f"FAILED: timeout: {what}")
        time.sleep(LOOK_EVERY_S)
    check(what, True)
    return seen
