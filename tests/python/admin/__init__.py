"""Tests of the admin gRPC by subject, based only on reflection."""
