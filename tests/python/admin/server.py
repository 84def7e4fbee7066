"""Health and reflection of the server."""

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2

from .checks import PATIENCE_S, check
from .reflected import PACKAGE

FOR_CERTIFICATES = {
    f"ProjectService/{method}Project{plural}"
    for method, plural in (("List", "s"), ("Create", ""), ("Revoke", ""), ("Unrevoke", ""), ("Stop", ""))
} | {f"CertificateService/{method}" for method in ("ListDeniedCertificates", "DenyCertificate", "AllowCertificate")}
SUBJECTS = "Access Audit Certificate Desktop Enrolment Insight Project Record Script Task Worker"


def healthy(channel, services):
    stub = health_pb2_grpc.HealthStub(channel)
    request = lambda service: health_pb2.HealthCheckRequest(service=service)
    for service in ["", *sorted(services)]:
        answer = stub.Check(request(service), timeout=PATIENCE_S)
        check(f"health of {service or 'the server'}", answer.status == answer.SERVING, answer)
        told = stub.Watch(request(service), timeout=PATIENCE_S)
        check("  and in the watch", next(told).status == answer.SERVING)
        told.cancel()
    try:
        stub.Check(request("graywave.admin.v1.Nothing"), timeout=PATIENCE_S)
        code = None
    except grpc.RpcError as error:
        code = error.code()
    check("the health of an unknown service is not found", code == grpc.StatusCode.NOT_FOUND, code)


def described(channel, reflected):
    expected = {f"graywave.admin.v1.{subject}Service" for subject in SUBJECTS.split()}
    check("reflection names the services", reflected.services == expected, reflected.services ^ expected)
    # Both versions have the same messages.
    for version in ("v1", "v1alpha"):
        call = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            reflection_pb2.ServerReflectionRequest.SerializeToString,
            reflection_pb2.ServerReflectionResponse.FromString,
        )
        [answer] = call(iter([reflection_pb2.ServerReflectionRequest(list_services="*")]), timeout=PATIENCE_S)
        names = {it.name for it in answer.list_services_response.service if it.name.startswith(PACKAGE)}
        check(f"  in its version {version}", names == reflected.services, names)


def all_called(reflected):
    missing = set(reflected.methods) - FOR_CERTIFICATES - reflected.answered
    check(f"all {len(reflected.methods)} calls of reflection were made", not missing, missing)
