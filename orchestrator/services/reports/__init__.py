"""What operators read: readiness, figures, metrics, use of the machine, and the state of the deployment."""
