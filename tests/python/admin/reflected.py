"""A client based only on reflection."""

from google.protobuf import json_format, message_factory
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from .checks import PATIENCE_S

PACKAGE = "graywave.admin.v1"


class Reflected:
    """Services found through reflection, and the calls that succeeded."""

    def __init__(self, channel):
        database = ProtoReflectionDescriptorDatabase(channel)
        self.pool = DescriptorPool(database)
        self.services = {name for name in database.get_services() if name.startswith(f"{PACKAGE}.")}
        self.methods = {
            f"{service.name}/{method.name}": method
            for service in map(self.pool.FindServiceByName, sorted(self.services))
            for method in service.methods
        }
        self.answered = set()


class Admin:
    """Every call of one caller by its name; requests and responses are JSON values."""

    def __init__(self, channel, reflected, *metadata):
        self.channel = channel
        self.reflected = reflected
        self.metadata = metadata

    def by(self, token):
        """The client with the credential of another caller."""
        return Admin(self.channel, self.reflected, ("authorization", f"Bearer {token}"))

    def sending(self, *metadata):
        """The same caller with additional metadata."""
        return Admin(self.channel, self.reflected, *self.metadata, *metadata)

    def __call__(self, service, method, wait_s=PATIENCE_S, **fields):
        name = f"{service}/{method}"
        found = self.reflected.methods[name]
        request = json_format.ParseDict(fields, message_factory.GetMessageClass(found.input_type)())
        answer = message_factory.GetMessageClass(found.output_type)
        begin = self.channel.unary_stream if found.server_streaming else self.channel.unary_unary
        call = begin(f"/{PACKAGE}.{name}", lambda it: it.SerializeToString(), answer.FromString)
        told = call(request, metadata=self.metadata, timeout=wait_s)
        return self.stream(name, told) if found.server_streaming else self.read(name, told)

    def stream(self, name, told):
        for message in told:
            yield self.read(name, message)

    def read(self, name, message):
        self.reflected.answered.add(name)
        pool = self.reflected.pool
        return json_format.MessageToDict(message, preserving_proto_field_name=True, descriptor_pool=pool)

    def pages(self, service, method, key, page_size, **fields):
        """The pages of a list."""
        token = ""
        while True:
            page = self(service, method, page_size=page_size, page_token=token, **fields)
            yield page.get(key, [])
            token = page.get("next_page_token", "")
            if not token:
                return
