"""PostgreSQL databases of deployments. The room is reserved: its models come with database provisioning."""
