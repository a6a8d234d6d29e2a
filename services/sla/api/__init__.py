"""The SLA service over HTTP."""
