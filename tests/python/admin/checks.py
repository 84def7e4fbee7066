"""How something is checked, refused and waited for."""

import sys
import time

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

PATIENCE_S = 60
LOOK_EVERY_S = 0.05
DOMAIN = "graywave"

# What a refusal is for programs: its code of gRPC, and the error_code in the metadata of its ErrorInfo.
INVALID = (grpc.StatusCode.INVALID_ARGUMENT, "WKS.00211102")
UNKNOWN_CALLER = (grpc.StatusCode.UNAUTHENTICATED, "WKS.00211302")
FORBIDDEN = (grpc.StatusCode.PERMISSION_DENIED, "WKS.00081102")
NOT_FOUND = (grpc.StatusCode.NOT_FOUND, "WKS.00211902")
CONFLICT = (grpc.StatusCode.FAILED_PRECONDITION, "WKS.00211409")
OTHER_REQUEST = (grpc.StatusCode.ALREADY_EXISTS, "WKS.00211410")
TOO_MANY = (grpc.StatusCode.RESOURCE_EXHAUSTED, "WKS.00211429")
UNAVAILABLE = (grpc.StatusCode.UNAVAILABLE, "WKS.00050902")


def check(what, condition, seen=None):
    """Says what was looked at, and stops at the first that is not so."""
    if not condition:
        sys.exit(f"NOT SO: {what}: {seen}")
    print(f"   {what}", flush=True)


def details(error):
    """The details of a refusal, by their type."""
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
    """How a call is refused; `None` when it is answered. Of a stream all is taken."""
    try:
        answer = call()
        if hasattr(answer, "__next__"):
            list(answer)
    except grpc.RpcError as error:
        return error


def is_refusal(error, kind):
    """Whether a call was refused like this, with the details that go with it."""
    if error is None:
        return False
    code, error_code = kind
    found = details(error)
    info = found.get("ErrorInfo", error_details_pb2.ErrorInfo())
    return (
        error.code() == code
        and (info.metadata["error_code"], info.domain) == (error_code, DOMAIN)
        and info.reason.replace("_", "").isupper()
        # Also a refusal of another kind may name a field, such as the desktops that do not exist.
        and ("BadRequest" in found or kind != INVALID)
        and ("RetryInfo" in found) == (kind in (TOO_MANY, UNAVAILABLE))
    )


def refused(what, kind, call, field=None):
    """The call is refused like this; a request that breaks a rule breaks it in this field."""
    error = refusal(call)
    check(what, is_refusal(error, kind) and (field is None or fields(error) == [field]), error)


def but_times(found):
    """What is shown, without its times: where something is made they are finer than those that are stored."""
    return {name: value for name, value in found.items() if not name.endswith("_time")}


def look_until(what, look):
    """Looks until something is so, and returns what was seen."""
    deadline = time.monotonic() + PATIENCE_S
    while not (seen := look()):
        if time.monotonic() > deadline:
            sys.exit(f"NOT SO: waited in vain: {what}")
        time.sleep(LOOK_EVERY_S)
    check(what, True)
    return seen
