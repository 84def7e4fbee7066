"""The admin gRPC, subject by subject: called with what reflection tells of it, and nothing else."""
