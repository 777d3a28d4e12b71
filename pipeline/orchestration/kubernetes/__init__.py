"""Commands as Jobs of Kubernetes: manifests, kubectl, and following a Job to its end."""
