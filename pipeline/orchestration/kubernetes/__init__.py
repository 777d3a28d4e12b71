"""Run a command of `growgan` as a Kubernetes Job: manifests, kubectl, and waiting for the end."""
