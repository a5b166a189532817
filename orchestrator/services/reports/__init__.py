"""Reports for operators: readiness, figures, metrics, resources, partnerships, and the state of the deployment."""
