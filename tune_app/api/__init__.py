"""The HTTP API: thin routes over the package, one noun per module. docs/api.md explains its use."""
